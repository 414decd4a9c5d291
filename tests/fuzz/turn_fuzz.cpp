// A relay that says anything at any time. The bytes choose inputs of an allocation: responses to
// what it sent last, with arbitrary codes and attributes, signed or not; binds, data, refreshes and
// passing time. The sans-IO contract must hold after each of them and the machine must never send
// without end.
#include <cstdlib>

#include "base/random.h"
#include "control/stun/builder.h"
#include "control/stun/key.h"
#include "control/turn/allocation.h"

namespace {

using namespace fg;
using namespace fg::turn;

void require(bool law) {
  if (!law) std::abort();
}

const SocketAddress kServer{.ip = IpAddress::v4(198, 51, 100, 30), .port = 3478};
const SocketAddress kLocal{.ip = IpAddress::v4(192, 0, 2, 10), .port = 52625};
constexpr std::array kCodes{300, 400, 401, 403, 420, 437, 438, 443, 486, 500};

class World {
 public:
  explicit World(ByteReader in)
      : in_(in),
        allocation_(
            {.id = {}, .v4 = kServer, .v6 = {}, .username = "1:u", .password = SecretText{"p"}}, {},
            random_, now_) {
    drain();
  }

  void run() {
    while (in_.ok() && in_.remaining() > 0) {
      step(in_.u8());
      drain();
    }
  }

 private:
  void step(std::uint8_t choice) {
    switch (choice % 8) {
      case 0:
        return respond(stun::Class::success);
      case 1:
        return respond(stun::Class::error);
      case 2:
        return allocation_.bind_channel({.ip = kLocal.ip, .port = in_.u8()}, now_);
      case 3:
        return allocation_.on_channel_data(
            ChannelNumber{static_cast<std::uint16_t>(0x4000 + in_.u8())}, now_);
      case 4:
        return allocation_.refresh(now_);
      case 5:
        now_ += std::chrono::milliseconds{in_.be16()};
        return allocation_.on_timeout(now_);
      case 6:
        now_ += std::chrono::seconds{in_.be16()};
        return allocation_.on_timeout(now_);
      default:
        if (const auto wakeup = allocation_.wakeup()) {
          now_ = std::max(now_, wakeup->at);
          allocation_.on_timeout(now_);
          drain();
          const auto next = allocation_.wakeup();
          require(!next || next->at > now_);
        }
    }
  }

  void respond(stun::Class type_class) {
    const auto request = stun::Message::parse(last_);
    if (!request) return;
    std::array<std::uint8_t, stun::kMessageMax> buffer{};
    stun::Builder b{buffer, request->method(), type_class, request->transaction()};
    const auto what = in_.u8();
    if (type_class == stun::Class::error) b.error_code(kCodes[in_.u8() % kCodes.size()], "");
    if (what & 1) b.realm(what & 2 ? "firezone" : "other");
    if (what & 4) b.nonce("n");
    if (what & 8) b.lifetime(in_.be16());
    if (what & 16) b.xor_relayed_address({.ip = kServer.ip, .port = in_.be16()});
    if (what & 32) b.xor_mapped_address({.ip = kLocal.ip, .port = in_.u8()});
    if (what & 64) b.integrity(what & 128 ? key_.expose() : as_bytes("wrong"));
    const auto bytes = b.finish();
    const auto m = stun::Message::parse(*bytes);
    require(m.has_value());
    allocation_.on_message(kServer, kLocal, *m, now_);
  }

  void drain() {
    const auto before = allocation_.wakeup();
    std::size_t outputs = 0;
    while (auto datagram = allocation_.poll_datagram()) {
      last_ = std::move(datagram->bytes);
      require(stun::Message::parse(last_).has_value());
      require(++outputs < 10000);
    }
    while (const auto event = allocation_.poll_event()) {
      require(!freed_);
      freed_ = std::holds_alternative<Freed>(*event);
      require(++outputs < 10000);
    }
    if (outputs > 0) require(before && before->at <= now_);
    const auto after = allocation_.wakeup();
    require(!after || after->at >= now_);
  }

  ByteReader in_;
  Instant now_{Duration{1'000'000'000}};
  SeededRandom random_{1};
  Secret<16> key_ = stun::long_term_key("1:u", "firezone", SecretText{"p"});
  ByteVector last_;
  bool freed_ = false;
  Allocation allocation_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  World{ByteReader{Bytes{data, size}}}.run();
  return 0;
}
