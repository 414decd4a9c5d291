// Which way out is cheaper, found out with real traffic: bursts leave by both ways in turn, each is
// timed, and the medians decide. Kept apart by how many datagrams a burst has for each destination,
// since that is what a segmenting socket lives on. Pure; what is fed are costs.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace fg::io::xdp {

enum class SendWay : std::uint8_t { socket, xdp };

// Of a burst: datagrams for each destination on average.
enum class BurstShape : std::uint8_t { single, short_run, long_run };
inline constexpr std::size_t kBurstShapes = 3;
[[nodiscard]] constexpr BurstShape shape_of(std::size_t datagrams, std::size_t destinations) {
  if (datagrams < 2 * destinations) return BurstShape::single;
  return datagrams < 8 * destinations ? BurstShape::short_run : BurstShape::long_run;
}

// Medians, ns a datagram.
struct SendCosts {
  std::uint32_t socket = 0;
  std::uint32_t xdp = 0;
};

// Of one shape on one queue.
class SendChoice {
 public:
  static constexpr std::size_t kSamples = 32;                // of each way
  static constexpr std::uint32_t kBurstsDecided = 1U << 16;  // until it is looked at again
  // A burst is charged with what happens to interrupt it: less than this is no difference.
  static constexpr std::uint32_t kAdvantagePercent = 10;

  // The way of the next burst.
  [[nodiscard]] SendWay way() const {
    if (!is_measuring_) return decided_;
    return samples_[0].used <= samples_[1].used ? SendWay::socket : SendWay::xdp;
  }
  // Whether its cost is wanted.
  [[nodiscard]] bool is_measuring() const { return is_measuring_; }
  void spent(SendWay way, std::uint32_t ns_per_datagram);
  // One more burst left without being measured.
  void sent();
  // Of the last decision.
  [[nodiscard]] const std::optional<SendCosts>& costs() const { return costs_; }
  [[nodiscard]] SendWay decided() const { return decided_; }

 private:
  struct Samples {
    std::array<std::uint32_t, kSamples> values{};
    std::size_t used = 0;
  };
  void decide();

  bool is_measuring_ = true;
  SendWay decided_ = SendWay::socket;
  std::uint32_t bursts_ = 0;
  std::array<Samples, 2> samples_{};
  std::optional<SendCosts> costs_;
};

}  // namespace fg::io::xdp
