// One line per way a packet, datagram or message can die: symbol and sentence. The enum, its texts
// and its counters all come from this list, so a reason without a counter cannot exist.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace fg {

#define FG_DROP_REASONS(X)                                                                         \
  /* outer datagrams */                                                                            \
  X(not_wireguard, "datagram is neither STUN, channel data nor WireGuard")                         \
  X(malformed_stun, "STUN message does not parse")                                                 \
  X(unknown_stun, "STUN message belongs to no connection or relay request")                        \
  X(bad_stun_integrity, "MESSAGE-INTEGRITY or FINGERPRINT of a STUN message is wrong")             \
  X(unknown_channel, "channel data on a channel that is not bound and confirmed")                  \
  X(malformed_channel_data, "channel data whose length differs from the datagram's")               \
  X(late_relay_message, "message of a relay that is no longer in use")                             \
  X(unknown_receiver, "no session has this receiver index")                                        \
  X(session_expired, "session is older than REJECT_AFTER_TIME")                                    \
  X(replayed, "counter already seen or too old")                                                   \
  X(bad_tag, "data message does not authenticate")                                                 \
  X(bad_mac1, "handshake message with a wrong MAC1")                                               \
  X(bad_handshake, "handshake message does not authenticate or is replayed")                       \
  X(unknown_initiator, "handshake initiation from a public key no connection has")                 \
  X(handshake_rate_limited, "handshake message over the limit and without a valid MAC2")           \
  X(stranger_stun_limited, "STUN from an address no client is expected at, over the limit")        \
  X(stranger_handshake_limited, "the same of WireGuard handshake messages")                        \
  X(punt_ring_full, "ring to the control thread is full")                                          \
  X(handoff_ring_full, "ring to the owning worker is full")                                        \
  X(oversized_datagram, "datagram larger than anything this protocol sends")                       \
  /* inner packets, client to resource */                                                          \
  X(malformed_packet, "inner packet has lying lengths, a truncated header or a wrong version")     \
  X(fragmented, "inner packet is a fragment")                                                      \
  X(oversized_packet, "inner packet is larger than 1280 bytes")                                    \
  X(spoofed_source, "inner source is not the client's")                                            \
  X(multicast, "inner destination is multicast")                                                   \
  X(not_allowed, "no access rule matches")                                                         \
  X(proxy_unknown, "proxy address that stands for no name of the client")                          \
  X(proxy_without_address, "the proxy address's name has no address of this family")               \
  X(not_translatable, "protocol that cannot be translated, to a proxy address")                    \
  X(nat_exhausted, "no port or no room for one more flow of the client")                           \
  X(special_address, "Internet resource does not reach special addresses")                         \
  X(tunnel_range, "destination or source is another tunnel address")                               \
  X(gateway_port_closed, "service on the gateway's own tunnel address that is not offered")        \
  X(outbound_icmp_error, "client sent an ICMP error")                                              \
  X(malformed_probe, "path probe with a wrong length, code or checksum")                           \
  X(probe_rate_limited, "path probe over the client's rate")                                       \
  X(control_malformed, "in-tunnel control message does not parse")                                 \
  /* inner packets, resource to client */                                                          \
  X(fragments_overlap, "fragments of one packet overlap or contradict each other")                 \
  X(fragments_lost, "fragments of a packet that did not become whole in time or for want of room") \
  X(not_a_peer, "packet from the TUN device to no tunnel address")                                 \
  X(no_peer_state, "packet from the TUN device to a tunnel address no client has")                 \
  X(not_connected, "client has no path or session yet")                                            \
  X(nonce_exhausted, "session has used up its counters")                                           \
  X(inbound_not_allowed, "packet from an address or port the client has no access to")             \
  X(nat_expired, "late packet of a translated flow that has expired")                              \
  X(unusable_quote, "ICMP error whose quote does not tell the flow")                               \
  X(icmp_rate_limited, "ICMP answer over the client's limit")                                      \
  /* operating system */                                                                           \
  X(tun_write_failed, "TUN device refused a packet")                                               \
  X(udp_send_failed, "UDP socket refused a datagram")                                              \
  X(tun_read_failed, "read from the TUN device failed")                                            \
  X(udp_receive_failed, "receive from a UDP socket failed")                                        \
  X(xdp_malformed, "AF_XDP socket received a frame that is no datagram of ours")                   \
  X(xdp_ring_full, "AF_XDP receive ring was full: the worker did not keep up")                     \
  X(xdp_no_frame, "AF_XDP socket had no free frame: the worker did not keep up")                   \
  X(xdp_refused, "AF_XDP socket refused a frame: too long, or of another queue")                   \
  X(xdp_silent, "interface was taken back from AF_XDP, as what it redirected did not arrive")      \
  X(xdp_unsent, "frame to be sent by AF_XDP that the driver threw away or its queue left behind")  \
  X(tun_unsteered, "client's address that the kernel did not take: workers hand its packets over") \
  /* control plane */                                                                              \
  X(command_ring_full, "ring to a worker is full")                                                 \
  X(command_queue_full, "connection, handshake or message refused as workers do not keep up")      \
  X(event_ring_full, "event for the control thread lost to a full ring")                           \
  X(unknown_portal_event, "portal message with an unknown event")                                  \
  X(malformed_portal_message, "portal message does not fit its schema")                            \
  X(oversized_portal_message, "portal message or frame over its limit ended the connection")       \
  X(portal_queue_full, "message or candidate to the portal over the limit of what waits")          \
  X(unparsable_candidate, "candidate line does not parse")                                         \
  X(unknown_client, "message about a client without a connection")                                 \
  X(resolutions_full, "too many name resolutions in flight")                                       \
  X(name_not_granted, "client announced a name of a DNS resource it has no access to")             \
  X(name_not_covered, "client announced a name outside its resource's pattern")                    \
  X(foreign_proxy, "client listed a proxy address that is none, or too many of them")              \
  X(name_unresolved, "no name server answered for a name a client announced")                      \
  X(names_limited, "client announces or awaits more names than it may at a time")                  \
  X(translations_full, "more proxy addresses than a client, or all of them, may have")             \
  X(dns_stranger, "query or connection to the DNS service from no client's tunnel address")        \
  X(dns_malformed_query, "message to the DNS service that is no query with one question")          \
  X(dns_queries_full, "too many DNS queries in flight, of one client or in all")                   \
  X(dns_queries_limited, "DNS query of a client over its rate")                                    \
  X(dns_connections_full, "too many connections to the DNS service, of one client or in all")      \
  X(dns_foreign_answer, "message to a pending DNS query that is no answer of its name server")     \
  X(dns_unanswered, "DNS query that no name server answered in time")                              \
  X(flows_unattributed, "grant whose flows are not recorded: there are too many")                  \
  X(clients_full, "more clients than this gateway holds")                                          \
  X(grants_full, "more grants than a client of this gateway may hold")                             \
  X(access_full, "more grants and filters than this gateway holds for all clients")                \
  X(foreign_address, "portal gave a client an address that is no tunnel address, or ours")         \
  X(domain_not_covered, "grant of a DNS resource without a domain its pattern covers")

enum class DropReason : std::uint8_t {
#define FG_ENUM(symbol, text) symbol,
  FG_DROP_REASONS(FG_ENUM)
#undef FG_ENUM
      count_
};

inline constexpr std::size_t kDropReasons = static_cast<std::size_t>(DropReason::count_);

[[nodiscard]] std::string_view name_of(DropReason reason);      // the symbol, as used in metrics
[[nodiscard]] std::string_view sentence_of(DropReason reason);  // for people

// Counters of one thread: written by it alone, summed by whoever asks. Relaxed atomics, no
// contention.
class DropCounters {
 public:
  void count(DropReason reason, std::uint64_t n = 1) {
    auto& c = counts_[static_cast<std::size_t>(reason)];
    c.store(c.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint64_t of(DropReason reason) const {
    return counts_[static_cast<std::size_t>(reason)].load(std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint64_t total() const {
    std::uint64_t sum = 0;
    for (const auto& c : counts_) sum += c.load(std::memory_order_relaxed);
    return sum;
  }

 private:
  alignas(128) std::array<std::atomic<std::uint64_t>, kDropReasons> counts_{};
};

}  // namespace fg
