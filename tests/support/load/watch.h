// Counts datagrams of a load where they arrive, in the kernel and for next to nothing: a socket
// filter that counts and hands up a sample only. A super-packet counts as what it was made of.
#pragma once

#include <cstdint>

#include "io/kernel/file_descriptor.h"

namespace fg::load {

class Watch {
 public:
  // Which UDP datagrams over IPv4 are counted, and what becomes of the others to those ports.
  struct Rule {
    std::uint16_t first_port = 0;  // destination
    std::uint16_t last_port = 0;
    std::uint32_t mark = 0;         // first four bytes of the payload
    std::uint32_t payload_min = 0;  // shorter ones are none of the load
    std::uint32_t sample_at = 0;    // offset in the payload of a byte that counts up
    bool hands_up_others = false;   // to those ports, and ICMP
  };
  struct Count {
    std::uint64_t datagrams = 0;
    std::uint64_t bytes = 0;  // UDP payload
  };

  Watch(int packet_socket, const Rule& rule);
  ~Watch();
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

  [[nodiscard]] Count count() const;
  // A datagram is handed up when the sampled byte has none of these bits: 0 for all, 255 for one in
  // 256.
  void set_sample_mask(std::uint8_t mask);

 private:
  struct Shared;
  io::kernel::FileDescriptor map_;
  volatile Shared* shared_ = nullptr;
};

}  // namespace fg::load
