// Picks the queue of a packet that the host sends into the tunnel device: that of the worker which
// owns the client with the destination's address (guides/performance 6.6). What has no known owner
// is spread by its address; the worker that reads it hands it over or drops it.
#include <linux/bpf.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "tun_steering_abi.h"

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, FG_TUN_OWNERS_MAX);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, struct fg_tun_address);
  __type(value, __u32);
} fg_owners SEC(".maps");

#define V4_DESTINATION 16
#define V6_DESTINATION 24

// The kernel takes the answer modulo the number of queues.
SEC("socket")
int firegate_tun(struct __sk_buff* packet) {
  struct fg_tun_address destination = {};
  __u32* words = (__u32*)destination.bytes;
  __u8 first;
  if (bpf_skb_load_bytes(packet, 0, &first, 1)) return 0;
  destination.version = first >> 4;
  __u32 last;
  if (destination.version == 4) {
    if (bpf_skb_load_bytes(packet, V4_DESTINATION, words, 4)) return 0;
    last = words[0];
  } else {
    if (bpf_skb_load_bytes(packet, V6_DESTINATION, words, 16)) return 0;
    last = words[3];
  }
  __u32* owner = bpf_map_lookup_elem(&fg_owners, &destination);
  return owner ? *owner : bpf_ntohl(last);
}

char license_text[] SEC("license") = "Apache-2.0";
