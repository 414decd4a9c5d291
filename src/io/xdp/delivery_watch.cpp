#include "io/xdp/delivery_watch.h"

namespace fg::io::xdp {

bool DeliveryWatch::check(const Frames& frames, std::uint64_t room) {
  const bool is_asked = frames.redirected >= before_.redirected + kFramesMin;
  const bool has_moved = frames.arrived != before_.arrived || frames.lost != before_.lost;
  if (has_moved)
    silent_ = 0;
  else if (is_asked)
    ++silent_;
  before_ = frames;
  // Some arrive, others vanish: more are missing than could wait anywhere.
  return silent_ >= kSilentMax || frames.redirected > frames.arrived + frames.lost + room;
}

}  // namespace fg::io::xdp
