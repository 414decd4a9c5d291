/* What the XDP program of fast_path.bpf.c and its loader in src/io/xdp share: keys, limits and the
 * counters, one for each decision. Plain C with fixed widths. */
#ifndef FG_BPF_FAST_PATH_ABI_H
#define FG_BPF_FAST_PATH_ABI_H

#include <linux/types.h>

/* Entries a map holds. */
#define FG_XDP_QUEUES_MAX 256
#define FG_XDP_ADDRESSES_MAX 1024
#define FG_XDP_RELAYS_MAX 64

#define FG_XDP_V4 4
#define FG_XDP_V6 6

/* An IPv4 address occupies the first four bytes; the rest is zero. */
struct fg_xdp_address {
  __u8 bytes[16];
  __u32 family; /* FG_XDP_V4, FG_XDP_V6 */
};

struct fg_xdp_endpoint {
  struct fg_xdp_address address;
  __be16 port;
  __u16 zero;
};

/* X(name, what it means). Those up to channel_data went to the AF_XDP socket, the others to the
 * kernel. */
#define FG_XDP_VERDICTS(X)                                                                         \
  X(data, "WireGuard data, to the AF_XDP socket")                                                  \
  X(channel_data, "WireGuard data in channel data of a relay, to the AF_XDP socket")               \
  X(no_socket, "would have been taken, but its queue has no AF_XDP socket")                        \
  X(truncated, "the frame ends before its headers do")                                             \
  X(other_protocol, "neither IPv4 nor IPv6: ARP, a third VLAN tag")                                \
  X(ip_options, "IPv4 with options or a malformed header")                                         \
  X(fragment, "a fragment, first ones included")                                                   \
  X(not_udp, "TCP, ICMP, or an IPv6 extension header")                                             \
  X(other_port, "UDP to another port")                                                             \
  X(other_address, "our port, but an address that is not this host's")                             \
  X(length_mismatch, "the lengths of IP, UDP and frame do not agree, or a multi-buffer frame")     \
  X(unfinished, "in generic mode: left to a device to finish, and maybe several datagrams in one") \
  X(too_long, "longer than a frame of the AF_XDP socket")                                          \
  X(not_data, "ours, but not WireGuard data: handshakes, STUN, TURN, noise")                       \
  X(not_a_relay, "channel data from somebody who is no relay in use")                              \
  X(channel_not_data, "channel data of a relay without WireGuard data in it")

enum fg_xdp_verdict {
#define FG_XDP_VERDICT(name, text) fg_xdp_##name,
  FG_XDP_VERDICTS(FG_XDP_VERDICT)
#undef FG_XDP_VERDICT
      FG_XDP_VERDICT_COUNT
};

/* One for each CPU. */
struct fg_xdp_counters {
  __u64 of[FG_XDP_VERDICT_COUNT];
};

#endif
