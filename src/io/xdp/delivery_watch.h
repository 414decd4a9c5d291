// Whether what the XDP program redirects arrives: a mode can attach, bind and yet lose every frame
// (a driver's fault, a socket of another queue). Looked at every kDeliveryInterval; the second look
// in a row that finds nothing arriving gives the verdict, so it takes one second.
#pragma once

#include <cstdint>

#include "base/time.h"

namespace fg::io::xdp {

inline constexpr Duration kDeliveryInterval = 500ms;

class DeliveryWatch {
 public:
  struct Frames {
    std::uint64_t redirected = 0;  // by the program, since it was attached
    std::uint64_t arrived = 0;     // read by workers
    std::uint64_t lost = 0;        // to full rings, counted: the worker's doing, not the mode's
  };
  // `room`: frames that may wait in the rings. True: the mode loses what it takes.
  [[nodiscard]] bool check(const Frames& frames, std::uint64_t room);

 private:
  static constexpr std::uint64_t kFramesMin = 4;  // in an interval; fewer may still be on their way
  static constexpr int kSilentMax = 2;

  Frames before_;
  int silent_ = 0;
};

}  // namespace fg::io::xdp
