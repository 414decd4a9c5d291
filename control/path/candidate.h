// Candidates of the ICE-less mode (spec connectivity 5.3): the same values and nearly the same line
// as in ICE mode, but the base is told, there is no ufrag, priorities are constants and the
// foundation is a decimal hash.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "control/ice/candidate.h"

namespace fg::path {

using ice::Candidate;
using ice::CandidateKind;

// base: of srflx the address behind it, of relay our socket towards the relay; ignored for host.
// The kind is host, srflx or relay.
[[nodiscard]] Candidate make_candidate(CandidateKind kind, const SocketAddress& address,
                                       const SocketAddress& base);
[[nodiscard]] std::string to_line(const Candidate& candidate);
// Nothing: what ICE mode refuses, prflx, and srflx or relay without raddr and rport.
[[nodiscard]] std::optional<Candidate> parse_line(std::string_view line);

}  // namespace fg::path
