// Whether what the XDP program redirects arrives: a mode can attach, bind and yet lose every frame
// (a driver's fault, a socket of another queue). Looked at every kDeliveryInterval; what was
// missing at one look and is at the next gives the verdict: a second under load, two where somebody
// tries once a second. A single frame may be lost anywhere.
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
    std::uint64_t waiting = 0;     // for a worker, now
  };
  // `room`: frames that may wait in the rings. True: the mode loses what it takes.
  [[nodiscard]] bool check(const Frames& frames, std::uint64_t room);

 private:
  static constexpr std::uint64_t kFramesMin = 2;

  Frames before_;
  std::uint64_t missing_ = 0;  // redirected since something arrived last, as of the look before
};

}  // namespace fg::io::xdp
