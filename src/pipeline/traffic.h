// What a client's tunnel has carried, as its worker counts it. The control thread lends a page with
// the slots it wants to know of (commands.h: ReadTraffic) and gets it back filled in: nothing is
// shared while packets flow.
#pragma once

#include <cstdint>
#include <vector>

#include "base/ids.h"

namespace fg::pipeline {

// Inner packets that passed.
struct Traffic {
  std::uint64_t packets_in = 0;  // from the client
  std::uint64_t bytes_in = 0;
  std::uint64_t packets_out = 0;  // to it
  std::uint64_t bytes_out = 0;
  std::uint64_t flows = 0;  // translated ones, now
};

struct TrafficPage {
  struct Line {
    ClientSlot slot{};
    bool is_known = false;  // the worker has such a client
    Traffic traffic;
  };
  std::vector<Line> lines;
};

}  // namespace fg::pipeline
