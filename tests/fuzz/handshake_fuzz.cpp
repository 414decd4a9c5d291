// Two WireGuard peers and a network between them that delays, repeats, damages and invents
// messages. MAC1 of a damaged or invented handshake message is made right, so that it reaches the
// handshake.
#include <deque>
#include <set>

#include "crypto/hash.h"
#include "tests/fuzz/support.h"
#include "wireguard/tunnel.h"

namespace {

using namespace fg;
using namespace fg::wireguard;

const IpAddress kSource = IpAddress::v4(192, 0, 2, 1);

// What the identities cost is paid once.
struct Keys {
  SeededRandom random{42};
  Identity client{crypto::generate_key_pair(random)};
  Identity gateway{crypto::generate_key_pair(random)};
  Secret<32> psk{std::array<std::uint8_t, 32>{9}};
};
const Keys& keys() {
  static const Keys made;
  return made;
}

class World {
 public:
  explicit World(Bytes input)
      : choices_(input),
        sides_{Side{keys().client, config(keys().gateway, 0x00C1'1E00), engine_, random_},
               Side{keys().gateway, config(keys().client, 0x3A7E'1100), engine_, random_}} {}

  void run() {
    for (std::size_t steps = 0; !choices_.empty() && steps < 200; ++steps) {
      step();
      drain(0);
      drain(1);
    }
  }

 private:
  struct Side {
    Side(const Identity& own, TunnelConfig config, crypto::AeadEngine& engine, Random& random)
        : identity(own), tunnel(own, std::move(config), engine, random, fuzz::kStart) {}
    const Identity& identity;
    Tunnel tunnel;
    std::deque<ByteVector> arriving;
    std::vector<ByteVector> seen;   // everything that ever arrived, for repetitions
    std::set<ByteVector> expected;  // inner packets that may come out, once each
  };

  static TunnelConfig config(const Identity& peer, std::uint32_t index) {
    TunnelConfig out;
    out.handshake.remote = peer.public_key();
    out.handshake.preshared = keys().psk.copy();
    out.handshake.index_base = ReceiverIndex{index};
    return out;
  }
  [[nodiscard]] WallTime wall() const { return fuzz::kWallStart + (now_ - fuzz::kStart); }

  void step() {
    const auto choice = choices_.u8();
    auto& side = sides_[choice & 1];
    switch ((choice >> 1) % 9) {
      case 0:
        return encapsulate(choice & 1);
      case 1:
        return deliver(side);
      case 2:
        return deliver(side);
      case 3:  // lost
        if (!side.arriving.empty()) side.arriving.pop_front();
        return;
      case 4:  // again
        if (!side.seen.empty()) side.tunnel.on_datagram(choices_.one_of(side.seen), kSource, now_);
        return;
      case 5:
        return damage(side);
      case 6:
        return pass_time(choices_.pause());
      case 7:
        return run_timers();
      default:
        return invent(side);
    }
  }

  void encapsulate(std::size_t from) {
    ByteVector packet(20 + choices_.below(40));
    packet[0] = 0x45;
    store_be16(packet.data() + 2, static_cast<std::uint16_t>(packet.size()));
    store_be32(packet.data() + 12, ++packets_);
    sides_[from ^ 1].expected.insert(packet);
    sides_[from].tunnel.encapsulate(packet, now_, wall());
  }
  void deliver(Side& side) {
    if (side.arriving.empty()) return;
    const auto message = side.arriving.front();
    side.arriving.pop_front();
    side.tunnel.on_datagram(message, kSource, now_);
    if (side.seen.size() < 32) side.seen.push_back(message);
  }
  void damage(Side& side) {
    if (side.arriving.empty()) return;
    auto message = side.arriving.front();
    const auto at = choices_.u8() % message.size();
    message[at] ^= static_cast<std::uint8_t>(choices_.u8() | 1);
    forged(side, message);
  }
  void invent(Side& side) {
    auto message = copy_of(choices_.bytes());
    if (message.size() >= kInitiationSize)
      message.resize(kInitiationSize);
    else if (message.size() >= kResponseSize)
      message.resize(kResponseSize);
    if (message.size() < 4) return;
    store_le32(message.data(), message[0] & 7U);
    forged(side, message);
  }
  // Only a change of MAC2, which nobody asked for, leaves a message as good as it was.
  void forged(Side& side, ByteVector& message) {
    const auto type = classify(message);
    const bool is_handshake = type == MessageType::initiation || type == MessageType::response;
    if (is_handshake) {
      const auto mac = crypto::blake2s_mac(side.identity.mac_keys().mac1, {before_mac1(message)});
      std::ranges::copy(mac, message.end() - static_cast<std::ptrdiff_t>(kMacsSize));
    }
    const auto sessions = side.tunnel.counters().sessions;
    const auto bad_mac1 = side.tunnel.counters().bad_mac1;
    side.tunnel.on_datagram(message, kSource, now_);
    FG_LAW(side.tunnel.counters().bad_mac1 == bad_mac1);
    const bool was_genuine = !side.arriving.empty() && is_handshake &&
                             side.arriving.front().size() == message.size() &&
                             equal(before_mac1(side.arriving.front()), before_mac1(message));
    FG_LAW(was_genuine || side.tunnel.counters().sessions == sessions ||
           is_sender_changed(side, message));
  }
  // The sender's index of an initiation is authenticated by the response only; every other bit by
  // the message itself.
  static bool is_sender_changed(const Side& side, const ByteVector& message) {
    if (side.arriving.empty() || side.arriving.front().size() != message.size()) return false;
    auto genuine = side.arriving.front();
    std::copy_n(message.begin() + 4, 4, genuine.begin() + 4);
    if (classify(genuine) == MessageType::response)
      std::copy_n(message.begin() + 4, 8, genuine.begin() + 4);
    return equal(before_mac1(genuine), before_mac1(message));
  }

  void pass_time(Duration by) {
    now_ += by;
    for (auto& side : sides_) side.tunnel.on_timeout(now_, wall());
  }
  void run_timers() {
    for (auto n = choices_.below(8); n > 0; --n) {
      std::optional<Wakeup> next;
      for (const auto& side : sides_) next = earlier(next, side.tunnel.wakeup());
      if (!next) return;
      FG_LAW(next->at >= now_);
      now_ = next->at;
      for (auto& side : sides_) {
        side.tunnel.on_timeout(now_, wall());
        drain(&side == &sides_[0] ? 0 : 1);
        FG_LAW(!side.tunnel.wakeup() || side.tunnel.wakeup()->at > now_);
      }
    }
  }

  void drain(std::size_t n) {
    auto& side = sides_[n];
    const auto before = side.tunnel.wakeup();
    std::size_t outputs = 0;
    for (; auto datagram = side.tunnel.poll_datagram(); ++outputs) {
      FG_LAW(classify(*datagram).has_value());
      auto& to = sides_[n ^ 1].arriving;
      if (to.size() < 256) to.push_back(std::move(*datagram));
    }
    // Nothing comes out that was not put in, and nothing twice.
    for (; const auto inner = side.tunnel.poll_inner(); ++outputs)
      FG_LAW(side.expected.erase(*inner) == 1);
    for (; side.tunnel.poll_event(); ++outputs) {
    }
    FG_LAW(outputs == 0 || (before && before->at <= now_));
    FG_LAW(side.tunnel.queued() <= Tunnel::kQueueMax &&
           side.tunnel.sessions().size() <= SessionRing::kSize);
  }

  fuzz::Choices choices_;
  SeededRandom random_{7};
  crypto::AeadEngine engine_;
  std::array<Side, 2> sides_;
  Instant now_ = fuzz::kStart;
  std::uint32_t packets_ = 0;
};

void run(Bytes input) { World{input}.run(); }

}  // namespace

FG_FUZZ_TARGET(run)
