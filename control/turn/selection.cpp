#include "control/turn/selection.h"

#include <algorithm>
#include <vector>

namespace fg::turn {
namespace {

Duration median(std::vector<Duration> values) {
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  if (values.size() % 2 == 1) return values[middle];
  return (values[middle - 1] + values[middle]) / 2;
}

}  // namespace

Duration rtt_threshold(std::span<const Duration> samples) {
  if (samples.empty()) return Duration::zero();
  if (samples.size() < 3) return *std::min_element(samples.begin(), samples.end()) * 3 / 2;
  const Duration middle = median({samples.begin(), samples.end()});
  std::vector<Duration> deviations;
  for (const Duration sample : samples)
    deviations.push_back(sample > middle ? sample - middle : middle - sample);
  return middle + 3 * std::max<Duration>(median(deviations), 2ms);
}

}  // namespace fg::turn
