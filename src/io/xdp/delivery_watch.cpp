#include "io/xdp/delivery_watch.h"

namespace fg::io::xdp {

bool DeliveryWatch::check(const Frames& frames, std::uint64_t room) {
  const bool has_moved = frames.arrived != before_.arrived || frames.lost != before_.lost;
  // What waits did arrive: the worker is late.
  const bool is_silent = !has_moved && frames.waiting == 0;
  const bool is_lost = is_silent && missing_ >= kFramesMin;
  missing_ = is_silent ? missing_ + frames.redirected - before_.redirected : 0;
  before_ = frames;
  // Some arrive, others vanish: more are missing than could wait anywhere.
  return is_lost || frames.redirected > frames.arrived + frames.lost + room;
}

}  // namespace fg::io::xdp
