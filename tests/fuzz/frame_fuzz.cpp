// Any frame an AF_XDP socket could hand over: what is found lies inside the frame and is as long as
// it says; bytes behind it change nothing.
#include "io/xdp/frame.h"
#include "tests/fuzz/support.h"

namespace {

using namespace fg;

void run(Bytes bytes) {
  ByteVector frame = copy_of(bytes);
  const auto got = io::xdp::parse_frame(frame);
  if (!got) return;
  FG_LAW(!got->bytes.empty() && got->segment == got->bytes.size() && got->count() == 1);
  FG_LAW(got->bytes.data() >= frame.data() + 14 + 20 + 8);
  FG_LAW(got->bytes.data() + got->bytes.size() <= frame.data() + frame.size());
  FG_LAW(got->from.family() == got->local.family() && got->ecn <= 3);

  auto padded = frame;
  padded.resize(frame.size() + 7, 0xA5);
  const auto again = io::xdp::parse_frame(padded);
  FG_LAW(again && equal(again->bytes, got->bytes) && again->from == got->from);
}

}  // namespace

FG_FUZZ_TARGET(run)
