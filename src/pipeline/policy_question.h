// A packet's protocol class as the policy asks for it: by destination port outbound, by source port
// inbound.
#pragma once

#include "filter/policy.h"
#include "packet/inner.h"

namespace fg::pipeline {

[[nodiscard]] constexpr filter::ProtoKey key_of(const packet::ProtoClass& proto,
                                                std::uint16_t port) noexcept {
  using In = packet::ProtoClass::Kind;
  using Out = filter::ProtoKind;
  static_assert(static_cast<int>(In::tcp) == static_cast<int>(Out::tcp) &&
                static_cast<int>(In::udp) == static_cast<int>(Out::udp) &&
                static_cast<int>(In::echo) == static_cast<int>(Out::echo) &&
                static_cast<int>(In::icmp_other) == static_cast<int>(Out::icmp_other) &&
                static_cast<int>(In::other_ip) == static_cast<int>(Out::other_ip));
  return {static_cast<Out>(proto.kind), port};
}

}  // namespace fg::pipeline
