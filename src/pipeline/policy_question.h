// A packet's protocol class as the policy asks for it: by destination port outbound, by source port
// inbound.
#pragma once

#include "base/address.h"
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

// The policy's answer to the packet before, for the one that asks the same: bursts do. Begun anew
// with each batch, as policies are replaced between them.
class LastVerdict {
 public:
  [[nodiscard]] filter::Verdict classify(const filter::Policy& policy, const IpAddress& ip,
                                         filter::ProtoKey key) noexcept {
    if (!is_same(policy, ip, key)) verdict_ = policy.classify(ip, key);
    return verdict_;
  }
  [[nodiscard]] filter::Verdict classify(const filter::Policy::Place& place,
                                         filter::ProtoKey key) noexcept {
    if (!is_same(*place.policy, place.ip, key)) verdict_ = filter::Policy::classify(place, key);
    return verdict_;
  }

 private:
  // And from now on it is.
  bool is_same(const filter::Policy& policy, const IpAddress& ip, filter::ProtoKey key) noexcept {
    if (policy_ == &policy && key_.kind == key.kind && key_.port == key.port && ip_ == ip)
      return true;
    policy_ = &policy;
    ip_ = ip;
    key_ = key;
    return false;
  }

  const filter::Policy* policy_ = nullptr;
  IpAddress ip_;
  filter::ProtoKey key_;
  filter::Verdict verdict_;
};

}  // namespace fg::pipeline
