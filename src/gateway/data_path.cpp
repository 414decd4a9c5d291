#include "gateway/data_path.h"

namespace fg::gateway {

void DataPath::check(const std::vector<WorkerIndex>& stalled, Sent sent) {
  problems_.clear();
  for (const auto worker : stalled) {
    problems_.push_back("worker " + std::to_string(number(worker)) +
                        " has not turned for 10 s: restart the gateway and report this");
  }
  if (sent.datagrams == before_.datagrams && sent.failed >= before_.failed + kFailuresMin) {
    problems_.push_back("none of " + std::to_string(sent.failed - before_.failed) +
                        " datagrams to clients could be sent in the last 10 s: check "
                        "routes and the firewall's output rules for UDP");
  }
  before_ = sent;
}

}  // namespace fg::gateway
