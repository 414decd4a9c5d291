// Gives the AF_XDP socket of a frame's queue what the fast path can finish: WireGuard data to our
// port and an address of this host, directly or in channel data from a relay in use (spec
// connectivity 1.3, 1.4, 3.8; guides/performance 2). Everything else, and whatever is in doubt,
// goes on to the kernel, whose UDP socket owns the port.
//
// Checksums are not verified: the packet's tag covers what matters, and between virtual devices
// they are unfinished. In generic mode an unfinished one may stand for a run of datagrams that a
// sender on this machine left to its device to cut: that is the kernel's, which knows.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <xdp/xdp_helpers.h>

#include "fast_path_abi.h"

struct {
  __uint(type, BPF_MAP_TYPE_XSKMAP);
  __uint(max_entries, FG_XDP_QUEUES_MAX);
  __type(key, __u32);
  __type(value, __u32);
} fg_sockets SEC(".maps");

// Addresses of this host. Without them packets that are only routed through it would be taken.
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, FG_XDP_ADDRESSES_MAX);
  __type(key, struct fg_xdp_address);
  __type(value, __u8);
} fg_addresses SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, FG_XDP_RELAYS_MAX);
  __type(key, struct fg_xdp_endpoint);
  __type(value, __u8);
} fg_relays SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct fg_xdp_counters);
} fg_verdicts SEC(".maps");

// Set before loading: what a frame of the AF_XDP sockets holds.
const volatile __u32 frame_max = 0;

// Written while running; 0: nothing is ours.
volatile __be16 port_v4 = 0;
volatile __be16 port_v6 = 0;
volatile __u8 is_generic = 0;

// Behind other programs of the dispatcher: they see the tunnel's packets, too.
struct {
  __uint(priority, 90);
  __uint(XDP_PASS, 1);
} XDP_RUN_CONFIG(firegate_xdp);

#define DATA_HEADER 16    // type, receiver, counter
#define DATA_SIZE_MIN 32  // with an empty packet's tag
#define CHANNEL_HEADER 4
#define CHANNEL_MASK 0xF0  // RFC 8656 §12: 0x4000-0x4FFF
#define CHANNEL 0x40
#define WORD(a, b, c, d) bpf_htonl((a) << 24 | (b) << 16 | (c) << 8 | (d))

struct vlan_tag {
  __be16 tci;
  __be16 protocol;
};

struct channel_header {
  __be16 number;
  __be16 length;
};

struct frame {
  void* at;  // the next header
  void* end;
  struct fg_xdp_address destination;
  struct fg_xdp_endpoint source;
  __u16 checksum;    // UDP's
  __u32 ip_payload;  // bytes behind the IP header, by that header
  __be16 our_port;
};

static __always_inline int is_vlan(__be16 protocol) {
  return protocol == bpf_htons(ETH_P_8021Q) || protocol == bpf_htons(ETH_P_8021AD);
}

// The protocol behind up to two VLAN tags; 0: truncated.
static __always_inline __be16 ethernet(struct frame* f) {
  struct ethhdr* eth = f->at;
  if ((void*)(eth + 1) > f->end) return 0;
  f->at = eth + 1;
  __be16 protocol = eth->h_proto;
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    if (!is_vlan(protocol)) break;
    struct vlan_tag* tag = f->at;
    if ((void*)(tag + 1) > f->end) return 0;
    f->at = tag + 1;
    protocol = tag->protocol;
  }
  return protocol;
}

// The headers return FG_XDP_VERDICT_COUNT when the frame may still be ours.
static __always_inline enum fg_xdp_verdict ipv4(struct frame* f) {
  struct iphdr* ip = f->at;
  if ((void*)(ip + 1) > f->end) return fg_xdp_truncated;
  if (ip->version != 4 || ip->ihl != 5) return fg_xdp_ip_options;
  if (ip->frag_off & bpf_htons(0x3FFF)) return fg_xdp_fragment;  // more of them, or an offset
  if (ip->protocol != IPPROTO_UDP) return fg_xdp_not_udp;
  f->ip_payload = bpf_ntohs(ip->tot_len) - sizeof(*ip);  // below 0: no length of UDP's
  __builtin_memcpy(f->destination.bytes, &ip->daddr, 4);
  __builtin_memcpy(f->source.address.bytes, &ip->saddr, 4);
  f->destination.family = f->source.address.family = FG_XDP_V4;
  f->our_port = port_v4;
  f->at = ip + 1;
  return FG_XDP_VERDICT_COUNT;
}

static __always_inline enum fg_xdp_verdict ipv6(struct frame* f) {
  struct ipv6hdr* ip = f->at;
  if ((void*)(ip + 1) > f->end) return fg_xdp_truncated;
  if (ip->version != 6) return fg_xdp_ip_options;
  if (ip->nexthdr == IPPROTO_FRAGMENT) return fg_xdp_fragment;
  if (ip->nexthdr != IPPROTO_UDP) return fg_xdp_not_udp;
  f->ip_payload = bpf_ntohs(ip->payload_len);
  __builtin_memcpy(f->destination.bytes, &ip->daddr, 16);
  __builtin_memcpy(f->source.address.bytes, &ip->saddr, 16);
  f->destination.family = f->source.address.family = FG_XDP_V6;
  f->our_port = port_v6;
  f->at = ip + 1;
  return FG_XDP_VERDICT_COUNT;
}

// Type 4 and three zero bytes: spec connectivity 1.3.
static __always_inline int is_data(__be32 first_word, __u32 size) {
  return first_word == WORD(4, 0, 0, 0) && size >= DATA_SIZE_MIN;
}

static __always_inline enum fg_xdp_verdict channel_data(struct frame* f, __u32 size) {
  struct channel_header* channel = f->at;
  __be32* inner = f->at + CHANNEL_HEADER;
  if ((void*)(inner + 1) > f->end) return fg_xdp_not_data;
  if (bpf_ntohs(channel->length) != size - CHANNEL_HEADER) return fg_xdp_not_data;
  if (!bpf_map_lookup_elem(&fg_relays, &f->source)) return fg_xdp_not_a_relay;
  if (!is_data(*inner, size - CHANNEL_HEADER)) return fg_xdp_channel_not_data;
  return fg_xdp_channel_data;
}

static __always_inline enum fg_xdp_verdict datagram(struct frame* f) {
  struct udphdr* udp = f->at;
  if ((void*)(udp + 1) > f->end) return fg_xdp_truncated;
  if (f->our_port == 0 || udp->dest != f->our_port) return fg_xdp_other_port;
  if (!bpf_map_lookup_elem(&fg_addresses, &f->destination)) return fg_xdp_other_address;
  __u32 length = bpf_ntohs(udp->len);
  if (length < sizeof(*udp) || length != f->ip_payload) return fg_xdp_length_mismatch;
  // Short frames are padded: there may be more of it, never less.
  if (length > (__u64)(f->end - f->at)) return fg_xdp_length_mismatch;
  f->source.port = udp->source;
  f->checksum = udp->check;
  f->at = udp + 1;
  __be32* first = f->at;
  if ((void*)(first + 1) > f->end) return fg_xdp_not_data;
  __u32 size = length - sizeof(*udp);
  if (is_data(*first, size)) return fg_xdp_data;
  if ((*(__u8*)f->at & CHANNEL_MASK) == CHANNEL) return channel_data(f, size);
  return fg_xdp_not_data;
}

// The sum of the pseudo-header alone stands where the device would put the checksum.
static __always_inline int is_unfinished(const struct frame* f) {
  const __u16* source = (const __u16*)f->source.address.bytes;
  const __u16* destination = (const __u16*)f->destination.bytes;
  __u32 sum = bpf_htons(IPPROTO_UDP) + bpf_htons(f->ip_payload);
#pragma unroll
  for (int i = 0; i < 8; ++i) sum += source[i] + destination[i];
  sum = (sum & 0xFFFF) + (sum >> 16);
  sum = (sum & 0xFFFF) + (sum >> 16);
  return f->checksum == sum;
}

static __always_inline enum fg_xdp_verdict judge(struct xdp_md* context) {
  struct frame f = {};
  f.at = (void*)(long)context->data;
  f.end = (void*)(long)context->data_end;
  __u64 size = f.end - f.at;
  enum fg_xdp_verdict verdict;
  switch (ethernet(&f)) {
    case 0:
      return fg_xdp_truncated;
    case bpf_htons(ETH_P_IP):
      verdict = ipv4(&f);
      break;
    case bpf_htons(ETH_P_IPV6):
      verdict = ipv6(&f);
      break;
    default:
      return fg_xdp_other_protocol;
  }
  if (verdict == FG_XDP_VERDICT_COUNT) verdict = datagram(&f);
  if (verdict > fg_xdp_channel_data) return verdict;
  if (size > frame_max) return fg_xdp_too_long;
  if (is_generic && is_unfinished(&f)) return fg_xdp_unfinished;
  return verdict;
}

SEC("xdp.frags")
int firegate_xdp(struct xdp_md* context) {
  enum fg_xdp_verdict verdict = judge(context);
  int action = XDP_PASS;
  if (verdict <= fg_xdp_channel_data) {
    action = bpf_redirect_map(&fg_sockets, context->rx_queue_index, XDP_PASS);
    if (action != XDP_REDIRECT) verdict = fg_xdp_no_socket;
  }
  __u32 zero = 0;
  struct fg_xdp_counters* counters = bpf_map_lookup_elem(&fg_verdicts, &zero);
  if (counters && verdict < FG_XDP_VERDICT_COUNT) counters->of[verdict] += 1;
  return action;
}

char license_text[] SEC("license") = "Apache-2.0";
