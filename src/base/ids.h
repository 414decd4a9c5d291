// Identifiers as distinct types, so that two of them can never be swapped in a call.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"

namespace fg {

// 128-bit identifier of the portal. Tag makes ClientId, ResourceId, … different types.
template <class Tag>
class Uuid {
 public:
  constexpr Uuid() = default;
  explicit constexpr Uuid(std::array<std::uint8_t, 16> bytes) : bytes_(bytes) {}

  // Hyphenated, 32 hex digits, in braces, or urn:uuid:, in either case (spec portal 2.1).
  static std::optional<Uuid> parse(std::string_view text);
  [[nodiscard]] const std::array<std::uint8_t, 16>& bytes() const { return bytes_; }
  [[nodiscard]] std::string to_string() const;  // hyphenated lower case
  friend constexpr bool operator==(const Uuid&, const Uuid&) = default;
  friend constexpr auto operator<=>(const Uuid&, const Uuid&) = default;

 private:
  std::array<std::uint8_t, 16> bytes_{};
};

std::optional<std::array<std::uint8_t, 16>> parse_uuid(std::string_view text);
std::string format_uuid(const std::array<std::uint8_t, 16>& bytes);

template <class Tag>
std::optional<Uuid<Tag>> Uuid<Tag>::parse(std::string_view text) {
  if (const auto bytes = parse_uuid(text)) return Uuid{*bytes};
  return std::nullopt;
}
template <class Tag>
std::string Uuid<Tag>::to_string() const {
  return format_uuid(bytes_);
}

using ClientId = Uuid<struct ClientTag>;
using ResourceId = Uuid<struct ResourceTag>;
using RelayId = Uuid<struct RelayTag>;

// Place of a client in the tables of its worker: dense, chosen by the control thread, re-used after
// removal.
enum class ClientSlot : std::uint32_t {};
// Place of a relay in the workers' tables.
enum class RelaySlot : std::uint8_t {};
enum class WorkerIndex : std::uint8_t {};
enum class ChannelNumber : std::uint16_t {};
// WireGuard session index as carried in messages to us.
enum class ReceiverIndex : std::uint32_t {};

template <class E>
[[nodiscard]] constexpr auto number(E id) {
  return static_cast<std::underlying_type_t<E>>(id);
}

}  // namespace fg

template <class Tag>
struct std::hash<fg::Uuid<Tag>> {
  std::size_t operator()(const fg::Uuid<Tag>& id) const noexcept {
    return static_cast<std::size_t>(fg::load_be64(id.bytes().data()) ^
                                    fg::load_be64(id.bytes().data() + 8));
  }
};
