// The portal's messages ⇄ values: one function a direction. Acceptance is that of the originals,
// with the tolerances the spec adds (portal 2.1 "Ours"); a payload that does not fit is refused as
// a whole, so nothing is ever half applied. What only flow logs need refuses nothing. Left out:
// what a token says (control/flow_log), candidate syntax (the ICE side skips what it cannot read).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "control/portal/messages.h"

namespace fg::portal {

struct Json;

inline constexpr std::size_t kMessageBytesMax = std::size_t{64} << 20;  // spec portal 1.5
inline constexpr std::size_t kAuthorizationsMax = 100'000;
inline constexpr std::size_t kRelaysMax = 1'024;
inline constexpr std::size_t kFiltersMax = 65'536;
inline constexpr std::size_t kCandidatesMax = 1'024;
inline constexpr std::size_t kProxyIpsMax = 1'024;

enum class ParseError : std::uint8_t { unknown_event, malformed };

[[nodiscard]] Result<Ingress, ParseError> parse_ingress(std::string_view event,
                                                        std::string_view payload);
[[nodiscard]] Result<Ingress, ParseError> parse_ingress(std::string_view event,
                                                        const Json& payload);

// The four keys of every frame (spec portal 1.7). ref is none for null and absent.
struct Envelope {
  std::string topic;
  std::string event;
  std::optional<std::uint64_t> ref;
};

// What goes to the portal before topic and ref are added. payload is JSON text.
struct Message {
  std::string event;
  std::string payload;
  friend bool operator==(const Message&, const Message&) = default;
};

[[nodiscard]] Message serialize(const Egress& egress);
[[nodiscard]] std::string frame(std::string_view topic, std::string_view event,
                                std::string_view payload, std::uint64_t ref);

}  // namespace fg::portal
