// What `firegate status`, `peers` and `explain` ask a running gateway: one line of JSON over its
// control socket, answered by one line (reply.h). `version` is that of both; another one is refused
// with a word about it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "base/address.h"
#include "base/ids.h"
#include "base/result.h"
#include "filter/policy.h"

namespace fg::console {

inline constexpr int kVersion = 1;
inline constexpr std::size_t kRequestMax = 4096;  // bytes, with the line's end
inline constexpr std::size_t kWordMax = 253;      // bytes of a client or destination: a DNS name

struct AskStatus {
  friend bool operator==(const AskStatus&, const AskStatus&) = default;
};
// A page of them, behind `after`.
struct AskPeers {
  std::optional<ClientId> after;
  friend bool operator==(const AskPeers&, const AskPeers&) = default;
};
struct AskPeer {
  std::string client;
  friend bool operator==(const AskPeer&, const AskPeer&) = default;
};
struct AskExplain {
  std::string client;
  std::string destination;
  filter::ProtoKind protocol = filter::ProtoKind::echo;  // tcp, udp or echo
  std::uint16_t port = 0;                                // tcp and udp
  std::optional<IpAddress> source;
  friend bool operator==(const AskExplain&, const AskExplain&) = default;
};
using Request = std::variant<AskStatus, AskPeers, AskPeer, AskExplain>;

enum class RequestError : std::uint8_t { not_json, other_version, unknown, malformed };
[[nodiscard]] std::string_view sentence_of(RequestError error);

[[nodiscard]] Result<Request, RequestError> parse_request(std::string_view line);
// Without the line's end.
[[nodiscard]] std::string write_request(const Request& request);

[[nodiscard]] std::string_view name_of(filter::ProtoKind protocol);

}  // namespace fg::console
