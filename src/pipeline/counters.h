// What a worker's pipeline has done. Written by the worker alone, read by anyone. No packet is
// counted twice:
//
//   datagrams_in + tun_in + handoffs_in + generated + fragments_given_up
//     = to_resources + to_clients + keepalives_in + probes_in + probes_out + checks_answered
//       + punted + handed_over + fragments_kept + all drops
#pragma once

#include <atomic>
#include <cstdint>

#include "base/drop_reason.h"

namespace fg::pipeline {

struct alignas(128) Counters {
  using Counter = std::atomic<std::uint64_t>;
  Counter datagrams_in{0};
  Counter tun_in{0};              // after segmentation
  Counter fragments_kept{0};      // the packet they become counts as tun_in
  Counter fragments_given_up{0};  // of these
  Counter handoffs_in{0};
  Counter generated{0};     // ICMP answers due, keepalives, packets of the control thread
  Counter to_resources{0};  // inner packets for the TUN device
  Counter to_clients{0};    // data messages sealed, with what was generated
  Counter keepalives_in{0};
  Counter probes_in{0};  // path probes of clients without ICE
  Counter probes_out{0};
  Counter checks_answered{0};  // of ICE, by a standing answer
  Counter punted{0};
  Counter handed_over{0};
  Counter bytes_to_resources{0};  // of inner packets
  Counter bytes_to_clients{0};
  Counter events_lost{0};
  Counter answers_refused{0};  // standing answers without room
  DropCounters drops;

  static void add(Counter& counter, std::uint64_t n = 1) noexcept {
    counter.store(counter.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
};

}  // namespace fg::pipeline
