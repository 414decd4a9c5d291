// Moves packets between the TUN device and the sockets in bursts: splits super-packets, seals and
// opens in place, joins what goes to the host. Whose packet it is, the engine says; what is not
// data goes to it.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/datagram.h"
#include "base/time.h"
#include "io/kernel/tun_device.h"
#include "packet/coalesce.h"
#include "packet/segment.h"
#include "tests/support/client/engine.h"
#include "tests/support/client/sockets.h"

namespace fg::client {

struct TrafficCounters {
  std::uint64_t packets_sent = 0;
  std::uint64_t packets_received = 0;
  std::uint64_t bytes_sent = 0;
  std::uint64_t bytes_received = 0;
  std::uint64_t malformed = 0;
  std::uint64_t unknown_receiver = 0;
  std::uint64_t tun_write_failed = 0;
};

class Traffic {
 public:
  explicit Traffic(io::kernel::TunQueue tun);

  // One burst each. The engine and the sockets may be others at every call.
  void read_tun(Engine& engine, Sockets& sockets, Instant now, WallTime wall);
  void receive(Engine& engine, Sockets& sockets, int fd, Instant now);
  // What the engine has to say itself.
  void send(Sockets& sockets, const Datagram& datagram);
  void flush(Sockets& sockets);

  [[nodiscard]] int tun_fd() const { return tun_.fd(); }
  [[nodiscard]] const TrafficCounters& counters() const { return counters_; }

 private:
  struct Arrival {
    SocketAddress local;
    SocketAddress from;
    std::uint8_t ecn = 0;
  };
  static constexpr std::size_t kArena = std::size_t{2} << 20;

  void on_packet(Engine& engine, Sockets& sockets, MutableBytes read, Instant now, WallTime wall);
  void send_inner(Engine& engine, Connection& connection, std::uint8_t* message, std::size_t length,
                  Instant now);
  void append(const Way& way, std::uint8_t ecn, std::uint8_t* message, std::size_t size);
  void on_datagram(Engine& engine, Arrival arrival, MutableBytes bytes, Instant now);
  void to_host(MutableBytes inner);
  void flush_host();

  io::kernel::TunQueue tun_;
  packet::Coalescer coalescer_;
  std::unique_ptr<std::uint8_t[]> arena_;
  std::size_t used_ = 0;
  std::vector<OutgoingDatagrams> batch_;  // of one family
  TrafficCounters counters_;
};

}  // namespace fg::client
