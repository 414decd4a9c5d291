// What a worker knows of next hops: a bounded table it looks its datagrams up in, and the two rings
// by which it asks the control thread and is answered. An entry is good as long as the epoch it was
// asked in; the control thread begins another whenever anything changed that routes packets, so
// nothing is sent by an entry for longer than it takes to notice. Whatever is unknown, refused or
// beyond a limit goes by a UDP socket.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/datagram.h"
#include "base/spsc_ring.h"
#include "io/xdp/frame_header.h"

namespace fg::io::xdp {

inline constexpr std::size_t kNextHopsMax = 2048;      // destinations of a worker
inline constexpr std::size_t kNextHopQuestions = 256;  // that may wait

struct Destination {
  SocketAddress to;
  std::optional<IpAddress> from;
  friend bool operator==(const Destination&, const Destination&) = default;
};

struct NextHopQuestion {
  Destination destination;
  std::uint32_t epoch = 0;
};

struct NextHopAnswer {
  Destination destination;
  std::uint32_t epoch = 0;  // of the question
  NextHop hop;
};

class NextHops {
 public:
  NextHops();

  // ---- of the control thread ----
  [[nodiscard]] std::optional<NextHopQuestion> next_question();
  // False: too many wait; the destination stays with the sockets until the next epoch.
  bool answer(const NextHopAnswer& answer) { return answers_.push(answer); }
  void begin_epoch() { epoch_.fetch_add(1, std::memory_order_release); }
  [[nodiscard]] std::uint32_t epoch() const { return epoch_.load(std::memory_order_relaxed); }

  // ---- of the worker ----
  struct Way {
    unsigned interface = 0;
    FrameHeader header;
  };
  // Before a batch. Takes answers; `ports`: that its datagrams come from, of each family.
  void refresh(std::uint16_t port_v4, std::uint16_t port_v6) noexcept;
  // nullptr: not known. Asked for, once an epoch. Stays until the next refresh().
  [[nodiscard]] const Way* find(const OutgoingDatagrams& datagrams) noexcept;
  // Since this was asked last.
  [[nodiscard]] bool has_asked() noexcept { return std::exchange(has_asked_, false); }
  // Destinations that found no place or could not be asked for, counted each time.
  [[nodiscard]] std::uint64_t crowded() const { return crowded_; }

 private:
  static constexpr std::size_t kProbes = 8;

  struct Entry {
    Destination destination;
    std::uint32_t epoch = 0;  // 0: never used
    bool is_known = false;
    Way way;
  };
  [[nodiscard]] Entry* place_of(const Destination& destination) noexcept;

  std::atomic<std::uint32_t> epoch_{1};
  SpscRing<NextHopQuestion> questions_{kNextHopQuestions};
  SpscRing<NextHopAnswer> answers_{kNextHopQuestions};
  std::uint32_t now_ = 1;  // the epoch of this batch
  std::vector<Entry> entries_;
  bool has_asked_ = false;
  std::uint64_t crowded_ = 0;
};

}  // namespace fg::io::xdp
