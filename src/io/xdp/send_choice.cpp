#include "io/xdp/send_choice.h"

#include <algorithm>

namespace fg::io::xdp {

void SendChoice::spent(SendWay way, std::uint32_t ns_per_datagram) {
  auto& samples = samples_[static_cast<std::size_t>(way)];
  if (samples.used < kSamples) samples.values[samples.used++] = ns_per_datagram;
  if (samples_[0].used == kSamples && samples_[1].used == kSamples) decide();
}

void SendChoice::sent() {
  if (is_measuring_ || ++bursts_ < kBurstsDecided) return;
  bursts_ = 0;
  samples_ = {};
  is_measuring_ = true;
}

void SendChoice::decide() {
  const auto median = [](Samples& samples) {
    auto middle = samples.values.begin() + kSamples / 2;
    std::ranges::nth_element(samples.values, middle);
    return *middle;
  };
  costs_ = {median(samples_[0]), median(samples_[1])};
  const auto bound = std::uint64_t{costs_->socket} * (100 - kAdvantagePercent);
  decided_ = std::uint64_t{costs_->xdp} * 100 < bound ? SendWay::xdp : SendWay::socket;
  is_measuring_ = false;
}

}  // namespace fg::io::xdp
