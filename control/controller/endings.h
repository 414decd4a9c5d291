// Grants that ended, newest first in mind and oldest forgotten: whoever asks why something is
// refused is told since when.
#pragma once

#include <algorithm>
#include <deque>
#include <utility>

#include "base/ids.h"
#include "control/controller/report.h"

namespace fg::controller {

struct Ending {
  ClientId client;
  acl::TunnelAddresses addresses;
  portal::Resource resource;  // name, pattern and filters cut to what is shown
  bool has_all_filters = true;
  acl::EndedWhy why = acl::EndedWhy::expired;
  Instant since;
  Instant at;
};

class Endings {
 public:
  void add(acl::Ended ended, Instant at) {
    auto& resource = ended.resource;
    const bool has_all = resource.filters.size() <= kFiltersShownMax;
    if (!has_all) resource.filters.resize(kFiltersShownMax);
    resource.filters.shrink_to_fit();
    resource.name.resize(std::min(resource.name.size(), kNameShownMax));
    resource.pattern.resize(std::min(resource.pattern.size(), kNameShownMax));
    if (all_.size() == kEndingsMax) all_.pop_front();
    all_.push_back(
        {ended.client, ended.addresses, std::move(resource), has_all, ended.why, ended.since, at});
  }
  // Oldest first.
  [[nodiscard]] const std::deque<Ending>& all() const { return all_; }

 private:
  std::deque<Ending> all_;
};

}  // namespace fg::controller
