// Which real address a client's proxy addresses stand for (spec policy 4.3, 4.5.3): compiled on the
// control thread, borrowed by the client's worker like filter::Policy, then only read. Whether a
// packet may go there is decided before, on the proxy address.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/address.h"

namespace fg::nat {

// A (client, domain), chosen by the control thread.
enum class NameId : std::uint32_t {};
[[nodiscard]] constexpr std::uint32_t number(NameId id) { return static_cast<std::uint32_t>(id); }

inline constexpr std::size_t kTranslationsMax = 65'536;  // per client, spec policy 8.2

struct Translation {
  IpAddress proxy;
  // None: the name has no address of this family. Of the other family: the packet changes family
  // on the way (spec policy 5.8); clients of generation A only.
  std::optional<IpAddress> real;
  NameId name{};
  friend bool operator==(const Translation&, const Translation&) = default;
};

class Translations {
 public:
  // nullptr above kTranslationsMax. Of several entries for one proxy the last counts.
  // `watch_silence`: the worker reports names whose proxies are not answered (spec policy 4.4).
  [[nodiscard]] static std::unique_ptr<const Translations> compile(std::vector<Translation> entries,
                                                                   bool watch_silence);

  [[nodiscard]] const Translation* find(const IpAddress& proxy) const noexcept;
  [[nodiscard]] bool watches_silence() const noexcept { return watch_silence_; }
  // In the order of their proxies.
  [[nodiscard]] std::span<const Translation> entries() const noexcept { return entries_; }

 private:
  Translations() = default;

  // Searched first: the last four bytes of the proxies of each family, which differ within a proxy
  // range (spec policy 1.1). keys[i] belongs to entries_[offset + i].
  struct Keys {
    std::vector<std::uint32_t> keys;
    std::size_t offset = 0;
  };

  std::vector<Translation> entries_;
  Keys v4_;
  Keys v6_;
  bool watch_silence_ = false;
};

}  // namespace fg::nat
