// The TURN client: relays that answer with anything at any time, rightly signed, wrongly or not at
// all; a portal that changes the list; data on channels.
#include <map>
#include <set>

#include "control/stun/builder.h"
#include "control/stun/key.h"
#include "control/turn/relay_set.h"
#include "packet/channel_data.h"
#include "tests/fuzz/support.h"

namespace {

using namespace fg;
using namespace fg::turn;

RelayId id(std::size_t n) {
  return RelayId{std::array<std::uint8_t, 16>{static_cast<std::uint8_t>(n + 1)}};
}
SocketAddress server_v4(std::size_t n) {
  return {IpAddress::v4(198, 51, 100, static_cast<std::uint8_t>(30 + n)), 3478};
}
SocketAddress server_v6(std::size_t n) {
  std::array<std::uint8_t, 16> bytes{0x20, 0x01, 0x0d, 0xb8};
  bytes[15] = static_cast<std::uint8_t>(30 + n);
  return {IpAddress::v6(bytes), 3478};
}
constexpr std::size_t kPool = 3;

class World {
 public:
  explicit World(Bytes input) : choices_(input), set_(options(), random_) {}

  void run() {
    change_list();
    drain();
    while (!choices_.empty()) {
      step();
      drain();
      check();
    }
  }

 private:
  struct Sent {
    SocketAddress to;
    ByteVector bytes;
  };
  struct Known {
    std::set<SocketAddress> relayed;
    std::map<ChannelNumber, ChannelChanged::State> channels;
  };

  Options options() {
    const auto choice = choices_.u8();
    Options out;
    if ((choice & 1) != 0) out.integrity = Options::Integrity::required;
    out.first_allocate_without_auth = (choice & 2) != 0;
    out.accept_unsigned_challenges = (choice & 4) != 0;
    return out;
  }
  Relay relay(std::size_t n) {
    const auto what = choices_.u8();
    Relay out{.id = id(n),
              .v4 = {},
              .v6 = {},
              .username = "2145916800:salt",
              .password = SecretText{"pw"}};
    if ((what & 3) != 1) out.v4 = server_v4(n);
    if ((what & 3) != 2) out.v6 = server_v6(n);
    if ((what & 4) != 0) out.password = SecretText{"another"};
    return out;
  }
  SocketAddress peer() {
    return {IpAddress::v4(203, 0, 113, static_cast<std::uint8_t>(choices_.below(5))), 4000};
  }

  void step() {
    switch (choices_.below(9)) {
      case 0:
        return change_list();
      case 1:
      case 2:
        return respond();
      case 3:
        return set_.bind_channel(id(choices_.below(kPool)), peer(), now_);
      case 4:
        return data();
      case 5:
        return anything();
      case 6:
        (void)set_.send_to_peer(id(choices_.below(kPool)), peer(), choices_.bytes(), now_);
        return;
      case 7:
        now_ += choices_.pause();
        return set_.on_timeout(now_);
      default:
        return run_timers();
    }
  }

  void change_list() {
    std::vector<RelayId> remove;
    std::vector<Relay> add;
    const auto what = choices_.u8();
    for (std::size_t n = 0; n < kPool; ++n) {
      if ((what >> n & 1) != 0) add.push_back(relay(n));
      if ((what >> (n + 4) & 1) != 0) remove.push_back(id(n));
    }
    set_.update(remove, add, now_);
  }

  void respond() {
    if (sent_.empty()) return;
    const auto& request =
        sent_[sent_.size() - 1 - choices_.below(std::min<std::size_t>(sent_.size(), 8))];
    const auto message = stun::Message::parse(request.bytes);
    if (!message) return;
    const auto what = choices_.u8();
    std::array<std::uint8_t, stun::kMessageMax> buffer{};
    stun::Builder b{buffer, message->method(),
                    (what & 1) == 0 ? stun::Class::success : stun::Class::error,
                    message->transaction()};
    if ((what & 1) != 0) {
      constexpr std::array kCodes{401, 438, 437, 420, 400, 486, 508, 300};
      b.error_code(kCodes[choices_.below(kCodes.size())], "text");
    }
    if ((what & 2) == 0) b.realm("firezone").nonce(choices_.flag() ? "nonce-1" : "nonce-2");
    if ((what & 4) == 0) {
      b.xor_mapped_address(peer()).lifetime(choices_.flag() ? 600 : choices_.u32());
      const auto port = static_cast<std::uint16_t>(50'000 + choices_.below(3));
      b.xor_relayed_address({request.to.ip, port});
      if ((what & 8) != 0) b.xor_relayed_address({server_v6(0).ip, port});
    }
    const auto* allocation = owner(request.to);
    const auto& password = allocation != nullptr ? allocation->relay().password : SecretText{"pw"};
    const auto key = stun::long_term_key("2145916800:salt", "firezone", password);
    if ((what & 0x30) == 0) b.integrity(key.expose());
    if ((what & 0x30) == 0x10) b.integrity(as_bytes("some other key"));
    const auto from = (what & 0xC0) == 0xC0 ? server_v4(choices_.below(kPool)) : request.to;
    receive(from, copy_of(*b.finish()));
  }

  void data() {
    const auto payload = choices_.bytes();
    ByteVector bytes(packet::kChannelHeader + payload.size());
    const ChannelNumber channel{static_cast<std::uint16_t>(kChannelFirst + choices_.below(4))};
    packet::write_channel_header(bytes.data(), channel, static_cast<std::uint16_t>(payload.size()));
    std::ranges::copy(payload, bytes.begin() + packet::kChannelHeader);
    receive(server_v4(choices_.below(kPool)), bytes);
  }
  void anything() {
    const auto from = choices_.flag() ? server_v4(choices_.below(kPool)) : peer();
    receive(from, copy_of(choices_.bytes()));
  }

  void receive(const SocketAddress& from, const ByteVector& bytes) {
    const SocketAddress local{from.ip.is_v4() ? IpAddress::v4(192, 0, 2, 10) : server_v6(9).ip,
                              52625};
    const auto result = set_.on_datagram(local, from, bytes, now_);
    const bool is_server = set_.relay_with_server(from).has_value();
    if (const auto* data = std::get_if<FromPeer>(&result)) {
      FG_LAW(is_server && known_[number(data->slot)].channels[data->channel] ==
                              ChannelChanged::State::confirmed);
      FG_LAW(known_[number(data->slot)].relayed.contains(data->relayed));
      FG_LAW(data->payload.size() + packet::kChannelHeader == bytes.size());
    }
  }

  void run_timers() {
    for (auto n = choices_.below(24); n > 0; --n) {
      const auto wakeup = set_.wakeup();
      if (!wakeup) return;
      now_ = std::max(now_, wakeup->at);
      set_.on_timeout(now_);
      drain();
      FG_LAW(!set_.wakeup() || set_.wakeup()->at > now_);  // one late call catches up
    }
  }

  void drain() {
    const auto before = set_.wakeup();
    std::size_t outputs = 0;
    for (; auto datagram = set_.poll_datagram(); ++outputs) sent(std::move(*datagram));
    for (; const auto event = set_.poll_event(); ++outputs) {
      if (const auto* told = std::get_if<RelayEvent>(&*event))
        learn(*told);
      else
        FG_LAW(set_.empty());
    }
    FG_LAW(outputs == 0 || (before && before->at <= now_));
    const auto after = set_.wakeup();
    FG_LAW(!after || after->at >= now_);
  }

  void sent(Datagram&& datagram) {
    if (packet::ChannelData::parse(datagram.bytes)) return;
    const auto message = stun::Message::parse(datagram.bytes);
    FG_LAW(message && message->type_class() == stun::Class::request);
    if (const auto* allocation = owner(datagram.to);
        allocation != nullptr && message->has_integrity()) {
      const auto& relay = allocation->relay();
      FG_LAW(message->verify_integrity(
          stun::long_term_key(relay.username, "firezone", relay.password).expose()));
    }
    if (sent_.size() >= 64) sent_.erase(sent_.begin());
    sent_.push_back({datagram.to, std::move(datagram.bytes)});
  }

  void learn(const RelayEvent& event) {
    auto& known = known_[number(event.slot)];
    if (std::holds_alternative<RelayGone>(event.what)) {
      known_.erase(number(event.slot));
      return;
    }
    if (const auto* learnt = std::get_if<CandidateLearnt>(&event.what)) {
      if (learnt->candidate.kind == Candidate::Kind::relayed)
        FG_LAW(known.relayed.insert(learnt->candidate.address).second);
    } else if (const auto* gone = std::get_if<CandidateInvalidated>(&event.what)) {
      FG_LAW(gone->candidate.kind == Candidate::Kind::relayed &&
             known.relayed.erase(gone->candidate.address) == 1);
    } else if (const auto* channel = std::get_if<ChannelChanged>(&event.what)) {
      FG_LAW(number(channel->number) >= kChannelFirst && number(channel->number) <= kChannelLast);
      if (channel->state == ChannelChanged::State::removed) {
        FG_LAW(known.channels.erase(channel->number) == 1);
      } else {
        const bool is_known = known.channels.contains(channel->number);
        FG_LAW(is_known == (channel->state == ChannelChanged::State::confirmed));
        known.channels[channel->number] = channel->state;
      }
    }
  }

  void check() {
    FG_LAW(set_.size() <= kPool);
    for (const auto& relay : set_.ids()) {
      const auto* allocation = set_.find(relay);
      FG_LAW(allocation != nullptr && !allocation->is_freed());
      std::set<SocketAddress> relayed;
      for (const auto& candidate : allocation->candidates()) {
        if (candidate.kind == Candidate::Kind::relayed) relayed.insert(candidate.address);
      }
      FG_LAW(relayed == known_[number(*set_.slot_of(relay))].relayed);
    }
  }

  [[nodiscard]] const Allocation* owner(const SocketAddress& server) const {
    const auto relay = set_.relay_with_server(server);
    return relay ? set_.find(*relay) : nullptr;
  }

  fuzz::Choices choices_;
  SeededRandom random_{7};
  RelaySet set_;
  Instant now_ = fuzz::kStart;
  std::vector<Sent> sent_;
  std::map<std::uint8_t, Known> known_;
};

void run(Bytes input) { World{input}.run(); }

}  // namespace

FG_FUZZ_TARGET(run)
