// Whether a client's packet may pass towards a resource, and if not, why and with which answer
// (spec policy 9.4, 9.8). One function for the packet path and for whoever explains it.
#pragma once

#include <cstdint>
#include <optional>

#include "base/drop_reason.h"
#include "filter/policy.h"
#include "nat/translations.h"
#include "packet/icmp.h"
#include "packet/inner.h"
#include "pipeline/policy_question.h"
#include "pipeline/tunnel_address.h"

namespace fg::pipeline {

inline constexpr std::uint16_t kGatewayDnsPort = 53535;  // spec policy 1.4

// What stops the packet, and how that is answered.
struct Refusal {
  DropReason reason;
  std::optional<packet::IcmpAnswer> answer;
};

// The addresses a verdict depends on, borrowed: the client's own and the gateway's.
struct Parties {
  const IpAddress& client_v4;
  const IpAddress& client_v6;
  const std::optional<IpAddress>& gateway_v4;
  const std::optional<IpAddress>& gateway_v6;

  [[nodiscard]] bool is_client(const IpAddress& ip) const noexcept {
    return ip == (ip.is_v4() ? client_v4 : client_v6);
  }
  [[nodiscard]] bool is_gateway(const IpAddress& ip) const noexcept {
    return ip == (ip.is_v4() ? gateway_v4 : gateway_v6);
  }
};

// `verdict` is the policy's about the packet's destination.
[[nodiscard]] inline std::optional<Refusal> refusal_of(const Parties& parties,
                                                       const filter::Verdict& verdict,
                                                       const packet::InnerPacket& packet) noexcept {
  using packet::IcmpAnswer;
  using Kind = packet::ProtoClass::Kind;
  if (packet.is_forbidden_icmp()) return Refusal{DropReason::outbound_icmp_error, std::nullopt};
  if (!parties.is_client(packet.source()))
    return Refusal{DropReason::spoofed_source, IcmpAnswer::prohibited};
  const auto& proto = packet.proto_class();
  if (parties.is_gateway(packet.destination())) {
    const bool is_dns = (proto.kind == Kind::udp || proto.kind == Kind::tcp) &&
                        proto.destination == kGatewayDnsPort;
    if (is_dns || proto.kind == Kind::echo) return std::nullopt;
    return Refusal{DropReason::gateway_port_closed, IcmpAnswer::prohibited};
  }
  if (is_tunnel_address(packet.destination()))
    return Refusal{DropReason::tunnel_range, IcmpAnswer::prohibited};
  switch (verdict.kind) {
    case filter::Verdict::Kind::allowed:
      return std::nullopt;
    case filter::Verdict::Kind::prohibited:
      return Refusal{DropReason::not_allowed, IcmpAnswer::prohibited};
    case filter::Verdict::Kind::unreachable:
      break;
  }
  return Refusal{DropReason::special_address, IcmpAnswer::network_unreachable};
}

[[nodiscard]] inline std::optional<Refusal> refusal_of(const Parties& parties,
                                                       const filter::Policy& policy,
                                                       const packet::InnerPacket& packet) noexcept {
  const auto& proto = packet.proto_class();
  return refusal_of(
      parties, policy.classify(packet.destination(), key_of(proto, proto.destination)), packet);
}

// Likewise of a packet to a proxy address that may be reached: what it stands for, none if nothing.
// Whether there is room for the flow is not asked.
[[nodiscard]] inline std::optional<Refusal> refusal_of(const nat::Translation* translation,
                                                       const packet::ProtoClass& proto) noexcept {
  using packet::IcmpAnswer;
  if (translation == nullptr)
    return Refusal{DropReason::proxy_unknown, IcmpAnswer::network_unreachable};
  if (!translation->real)
    return Refusal{DropReason::proxy_without_address, IcmpAnswer::network_unreachable};
  if (!proto.is_translatable()) return Refusal{DropReason::not_translatable, std::nullopt};
  return std::nullopt;
}

}  // namespace fg::pipeline
