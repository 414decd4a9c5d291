// ICE candidates as values: kinds, priorities and the SDP line in which they travel through the
// portal (RFC 8445 §5.1, spec connectivity 2.5, 2.7, 2.8). Lines are read by one lenient parser for
// all generations and written by one serializer, so that the line that invalidates a candidate
// equals the line that announced it. Left out: TCP, components other than 1, the lines of the
// ICE-less mode.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/address.h"

namespace fg::ice {

enum class CandidateKind : std::uint8_t { host, prflx, srflx, relay };

[[nodiscard]] std::string_view name_of(CandidateKind kind);  // as after "typ"

struct Candidate {
  CandidateKind kind = CandidateKind::host;
  SocketAddress address;
  SocketAddress base;  // where packets are sent from; equals the address except for srflx and prflx
  std::optional<SocketAddress> raddr;  // as signalled; informational
  std::uint32_t priority = 0;
  std::string foundation;
  friend bool operator==(const Candidate&, const Candidate&) = default;
};

// Invalidation matches on these four (spec connectivity 2.9).
[[nodiscard]] bool is_same(const Candidate& a, const Candidate& b);

// Spec connectivity 2.5. Loopback and port 0 are fine.
[[nodiscard]] bool is_valid_address(const IpAddress& ip);

// Channel to this kind of remote candidate is bound at once, to the others on demand (spec
// connectivity 2.9).
[[nodiscard]] constexpr bool wants_channel(CandidateKind kind) {
  return kind != CandidateKind::host;
}

// ---- priorities ----

// RFC 8445 §5.1.2.2: host 126, prflx 110, srflx 100, relay 2.
[[nodiscard]] std::uint32_t type_preference(CandidateKind kind);

struct LocalRank {
  Family family = Family::v4;
  std::uint32_t earlier =
      0;  // local candidates of the same kind and family known before, discarded ones included
  bool cross_family = false;  // relayed address whose family is not the one used to reach the relay
};
[[nodiscard]] std::uint32_t local_preference(CandidateKind kind, const LocalRank& rank);
[[nodiscard]] std::uint32_t candidate_priority(CandidateKind kind, std::uint32_t local_preference);
// PRIORITY of a check sent from this candidate: its own, with the type preference of prflx (RFC
// 8445 §7.1.1).
[[nodiscard]] std::uint32_t check_priority(std::uint32_t priority);
// RFC 8445 §6.1.2.3.
[[nodiscard]] std::uint64_t pair_priority(std::uint32_t controlling, std::uint32_t controlled);

// Opaque and stable for kind, base address and priority: 24 hex digits.
[[nodiscard]] std::string make_foundation(CandidateKind kind, const IpAddress& base,
                                          std::uint32_t priority);

// ---- the SDP line ----

enum class LineForm : std::uint8_t {
  standard,  // generations B and C, understood by A: raddr of zeros for srflx and relay, ufrag last
  legacy,    // generation A: neither raddr nor ufrag
};
[[nodiscard]] std::string to_line(const Candidate& candidate, std::string_view ufrag,
                                  LineForm form = LineForm::standard);

struct CandidateLine {
  Candidate candidate;
  std::optional<std::string> ufrag;
};

inline constexpr std::size_t kLineMax = 1024;      // bytes; real lines stay below 200
inline constexpr std::size_t kFoundationMax = 32;  // RFC 8839 §5.1
// Nothing: not a candidate, a component other than 1, or not UDP. Addresses are not judged here.
[[nodiscard]] std::optional<CandidateLine> parse_line(std::string_view line);

}  // namespace fg::ice
