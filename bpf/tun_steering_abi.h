/* What the steering program of tun_steering.bpf.c and its loader in src/io/kernel share. */
#ifndef FG_BPF_TUN_STEERING_ABI_H
#define FG_BPF_TUN_STEERING_ABI_H

#include <linux/types.h>

#define FG_TUN_OWNERS_MAX 16384

/* An IPv4 address occupies the first four bytes; the rest is zero. */
struct fg_tun_address {
  __u8 bytes[16];
  __u32 version; /* 4, 6 */
};

#endif
