// Collects the datagrams of a burst by destination, in buffers made for segmented sends: all of a
// batch are equally long but the last, which may be shorter and ends it. A datagram is added to the
// newest batch of its destination only, so the order towards each destination is kept. The caller
// encrypts straight into the place it is given.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>

#include "base/datagram.h"
#include "pipeline/commands.h"

namespace fg::pipeline {

class TransmitBatcher {
 public:
  static constexpr std::size_t kBatches = 64;
  static constexpr std::size_t kPendingMax =
      512U << 10;  // bytes; what is encrypted stays in the second-level cache

  // Which batch of the running burst a destination was last given. Kept by the destination;
  // forget() before its path changes.
  class Mark {
   public:
    void forget() { epoch_ = 0; }

   private:
    friend class TransmitBatcher;
    std::uint64_t epoch_ = 0;
    std::size_t batch_ = 0;
  };

  TransmitBatcher();

  // Room for a datagram of `size` bytes on this path, to be filled by the caller; nullptr: flush
  // first.
  [[nodiscard]] std::uint8_t* reserve(Mark& mark, const Path& path, std::uint8_t ecn,
                                      std::size_t size) noexcept;
  [[nodiscard]] bool is_empty() const noexcept { return used_ == 0; }
  // The batches in the order they were begun; valid until the next reserve(). Empties.
  [[nodiscard]] std::span<const OutgoingDatagrams> take() noexcept;

 private:
  // One buffer does not begin at the same cache set as the next.
  static constexpr std::size_t kStride = kUdpPayloadMax + 29 + 2048 + 128;

  struct Batch {
    std::size_t size = 0;
    std::size_t segment = 0;
    std::size_t count = 0;
    std::uint8_t ecn = 0;
    bool closed = false;
  };

  std::unique_ptr<std::uint8_t[]> buffers_;
  std::array<Batch, kBatches> batches_{};
  std::array<OutgoingDatagrams, kBatches> out_{};
  std::size_t used_ = 0;
  std::size_t pending_ = 0;
  std::uint64_t epoch_ = 1;
};

}  // namespace fg::pipeline
