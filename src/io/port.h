// One worker's way to the outside: datagrams on one side, the TUN device on the other. Three
// backends (kernel, xdp, dpdk) fill it; each call moves a batch, so the virtual call is paid once a
// batch. A port belongs to one thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/datagram.h"
#include "base/drop_reason.h"

namespace fg::io {

// Written by the port's thread alone, read by anyone.
struct PortCounters {
  std::atomic<std::uint64_t> datagrams_received{0};
  std::atomic<std::uint64_t> datagrams_sent{0};
  std::atomic<std::uint64_t> bytes_received{0};
  std::atomic<std::uint64_t> bytes_sent{0};
  std::atomic<std::uint64_t> receive_calls{0};
  std::atomic<std::uint64_t> send_calls{0};
  std::atomic<std::uint64_t> tun_reads{0};   // super-packets
  std::atomic<std::uint64_t> tun_writes{0};  // super-packets
  // Of a port with two ways in: tunnel packets, in datagrams. Both 0 where there is one way.
  std::atomic<std::uint64_t> data_by_xdp{0};
  std::atomic<std::uint64_t> data_by_socket{0};
  // Of a port with two ways out, in datagrams: by AF_XDP; by a socket because its frames were all
  // under way; and because no next hop could be asked for.
  std::atomic<std::uint64_t> sent_by_xdp{0};
  std::atomic<std::uint64_t> send_frames_short{0};
  std::atomic<std::uint64_t> next_hops_crowded{0};

  static void add(std::atomic<std::uint64_t>& counter, std::uint64_t n) {
    counter.store(counter.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
};

// Which of a port's descriptors are readable: bit i stands for wait_fds()[i].
using ReadySet = std::uint32_t;
inline constexpr ReadySet kAllReady = ~ReadySet{0};

// The kinds of super-packets that the TUN device takes.
struct TunOffloads {
  bool tcp = false;
  bool udp = false;
  friend bool operator==(const TunOffloads&, const TunOffloads&) = default;
};

class Port {
 public:
  Port() = default;
  Port(const Port&) = delete;
  Port& operator=(const Port&) = delete;
  virtual ~Port() = default;

  // Become readable when receive() or read_tun() may have something. Constant; at most 32.
  [[nodiscard]] virtual std::span<const int> wait_fds() const noexcept = 0;

  // Never waits. The bytes may be changed in place and stay until the next receive().
  virtual std::span<ReceivedDatagrams> receive(ReadySet ready) noexcept = 0;
  // What cannot be sent is counted and forgotten; an error of one destination touches no other.
  virtual void send(std::span<const OutgoingDatagrams> batch) noexcept = 0;

  // Never waits. The bytes may be changed in place and stay until the next read_tun().
  virtual std::span<TunRead> read_tun(ReadySet ready) noexcept = 0;
  // False when nothing of it could be written, and counted for each inner packet.
  virtual bool write_tun(const TunWrite& packet) noexcept = 0;
  // May shrink while running, when the device turns out to refuse a kind.
  [[nodiscard]] virtual TunOffloads tun_offloads() const noexcept = 0;

  [[nodiscard]] const DropCounters& drops() const { return drops_; }
  [[nodiscard]] const PortCounters& counters() const { return counters_; }

 protected:
  DropCounters drops_;
  alignas(128) PortCounters counters_;
};

// Sends the control thread's own datagrams (STUN, TURN, handshakes) from the same sockets as the
// workers. One thread.
class DatagramSender {
 public:
  DatagramSender() = default;
  DatagramSender(const DatagramSender&) = delete;
  DatagramSender& operator=(const DatagramSender&) = delete;
  virtual ~DatagramSender() = default;

  // False: some were refused by the system, and counted. Errors of one destination touch no other.
  virtual bool send(std::span<const OutgoingDatagrams> batch) noexcept = 0;
  [[nodiscard]] const DropCounters& drops() const { return drops_; }
  // Why a datagram was refused last, an errno; 0: none was.
  [[nodiscard]] int last_error() const { return last_error_; }

 protected:
  DropCounters drops_;
  int last_error_ = 0;
};

// What a backend opens: a port for each worker and the control thread's sender.
struct Backend {
  std::vector<std::unique_ptr<Port>> ports;
  std::unique_ptr<DatagramSender> sender;
};

}  // namespace fg::io
