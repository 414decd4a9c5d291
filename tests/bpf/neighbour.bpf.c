// Somebody else's XDP program: counts frames and lets them pass.
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u64);
} frames SEC(".maps");

SEC("xdp.frags")
int neighbour(struct xdp_md* context) {
  (void)context;
  __u32 zero = 0;
  __u64* count = bpf_map_lookup_elem(&frames, &zero);
  if (count) __sync_fetch_and_add(count, 1);
  return XDP_PASS;
}

char license_text[] SEC("license") = "Apache-2.0";
