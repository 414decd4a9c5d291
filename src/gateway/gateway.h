// Wires the house together on the control thread: the loop, the portal, the controller, the workers
// and the host. Owns everything; run() returns the process's exit status.
#pragma once

#include <memory>

#include "base/log.h"
#include "gateway/configuration.h"

namespace fg::gateway {

// 0 after SIGINT or SIGTERM, 1 for everything that ends the process otherwise (spec
// operations 3.3). The reason is logged.
[[nodiscard]] int run(const Configuration& configuration, LogSink& sink);

}  // namespace fg::gateway
