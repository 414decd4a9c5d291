// Flows of clients whose connection is gone and whose access is not, by tunnel address: the next
// connection goes on with them (spec policy 2.8). Changed by commands only.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <utility>

#include "base/address.h"
#include "nat/flow_table.h"

namespace fg::pipeline {

class KeptFlows {
 public:
  // Of all clients together; beyond, a client begins anew.
  static constexpr std::size_t kFlowsMax = 524'288;

  explicit KeptFlows(std::size_t flows_max = kFlowsMax) : flows_max_(flows_max) {}

  void keep(const IpAddress& v4, const IpAddress& v6, std::unique_ptr<nat::FlowTable> flows) {
    forget(v4);
    if (flows == nullptr || flows->size() > flows_max_ - flows_) return;
    flows_ += flows->size();
    kept_.emplace(v4, Kept{v6, std::move(flows)});
  }
  // None unless both addresses are those it was kept under.
  std::unique_ptr<nat::FlowTable> take(const IpAddress& v4, const IpAddress& v6) {
    const auto found = kept_.find(v4);
    if (found == kept_.end() || found->second.v6 != v6) {
      forget(v4);
      return nullptr;
    }
    auto flows = std::move(found->second.flows);
    flows_ -= flows->size();
    kept_.erase(found);
    return flows;
  }
  void forget(const IpAddress& v4) {
    const auto found = kept_.find(v4);
    if (found == kept_.end()) return;
    flows_ -= found->second.flows->size();
    kept_.erase(found);
  }
  [[nodiscard]] std::size_t clients() const { return kept_.size(); }

 private:
  struct Kept {
    IpAddress v6;
    std::unique_ptr<nat::FlowTable> flows;
  };
  std::size_t flows_max_;
  std::size_t flows_ = 0;
  std::map<IpAddress, Kept> kept_;
};

}  // namespace fg::pipeline
