// Frames, and the running of an XDP program on them in the kernel as if they had come in by a queue
// of an interface.
#pragma once

#include <bpf/bpf.h>
#include <gtest/gtest.h>
#include <linux/bpf.h>
#include <linux/if_xdp.h>
#include <net/if.h>
#include <poll.h>
#include <sys/mman.h>
#include <xdp/xsk.h>

#include "tests/support/packets.h"

namespace fg::test {

inline constexpr std::uint16_t kVlan = 0x8100;
inline constexpr std::uint16_t kServiceVlan = 0x88A8;

// Ethernet around an IP packet, behind VLAN tags with those protocols.
inline ByteVector frame_of(const ByteVector& packet, const std::vector<std::uint16_t>& tags = {},
                           std::uint16_t protocol = 0) {
  ByteVector out(12, 2);
  const auto put = [&](unsigned v) {
    out.push_back(static_cast<std::uint8_t>(v >> 8));
    out.push_back(static_cast<std::uint8_t>(v));
  };
  for (const auto tag : tags) {
    put(tag);
    put(42);
  }
  put(protocol != 0 ? protocol : packet[0] >> 4 == 4 ? 0x0800 : 0x86DD);
  out.insert(out.end(), packet.begin(), packet.end());
  return out;
}

// The first bytes as given, the rest counting up to `size`.
inline ByteVector begins(ByteVector bytes, std::size_t size) {
  while (bytes.size() < size) bytes.push_back(static_cast<std::uint8_t>(bytes.size()));
  bytes.resize(size);
  return bytes;
}
inline ByteVector wireguard(std::uint8_t type, std::size_t size) {
  return begins({type, 0, 0, 0}, size);
}
inline ByteVector channel_data(std::uint16_t channel, const ByteVector& inner, int off_by = 0) {
  ByteVector out(4);
  store_be16(out.data(), channel);
  store_be16(out.data() + 2, static_cast<std::uint16_t>(static_cast<int>(inner.size()) + off_by));
  out.insert(out.end(), inner.begin(), inner.end());
  return out;
}

struct RunResult {
  std::uint32_t action = 0;
  std::uint32_t nanoseconds = 0;  // mean of the repetitions
};

inline RunResult run_xdp(int program, const ByteVector& frame, const char* interface,
                         unsigned queue = 0, int repeat = 1) {
  xdp_md context{};
  context.data_end = static_cast<std::uint32_t>(frame.size());
  context.ingress_ifindex = ::if_nametoindex(interface);
  context.rx_queue_index = queue;
  LIBBPF_OPTS(bpf_test_run_opts, run);
  run.data_in = frame.data();
  run.data_size_in = static_cast<std::uint32_t>(frame.size());
  run.ctx_in = &context;
  run.ctx_size_in = sizeof context;
  run.repeat = repeat;
  const int refused = ::bpf_prog_test_run_opts(program, &run);
  EXPECT_EQ(refused, 0) << std::strerror(-refused) << ", frame of " << frame.size();
  return {run.retval, run.duration};
}

// An AF_XDP socket bound to a queue. What comes in by it is nobody's business here.
class BoundSocket {
 public:
  BoundSocket(const char* interface, unsigned queue) {
    memory_ = ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT_EQ(::xsk_umem__create(&umem_, memory_, kBytes, &fill_, &completion_, nullptr), 0);
    xsk_socket_config config{};
    config.rx_size = 64;
    config.tx_size = 64;
    config.libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD;
    config.bind_flags = XDP_COPY | XDP_USE_NEED_WAKEUP;
    int refused = -EBUSY;
    // The queue of a socket that was closed a moment ago is free a little later.
    for (int i = 0; i < 100 && refused == -EBUSY; ++i) {
      if (i > 0) (void)::poll(nullptr, 0, 20);
      refused = ::xsk_socket__create(&socket_, interface, queue, umem_, &rx_, &tx_, &config);
    }
    EXPECT_EQ(refused, 0);
  }
  BoundSocket(const BoundSocket&) = delete;
  BoundSocket& operator=(const BoundSocket&) = delete;
  ~BoundSocket() {
    ::xsk_socket__delete(socket_);
    ::xsk_umem__delete(umem_);
    ::munmap(memory_, kBytes);
  }
  [[nodiscard]] int fd() const { return ::xsk_socket__fd(socket_); }

 private:
  static constexpr std::size_t kBytes = 256U << 10;
  void* memory_ = nullptr;
  xsk_umem* umem_ = nullptr;
  xsk_socket* socket_ = nullptr;
  xsk_ring_prod fill_{};
  xsk_ring_cons completion_{};
  xsk_ring_cons rx_{};
  xsk_ring_prod tx_{};
};

}  // namespace fg::test
