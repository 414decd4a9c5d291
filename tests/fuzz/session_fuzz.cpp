// The data half of WireGuard: sessions of one peer under sealed, damaged, repeated, late and
// invented messages. A counter is accepted once, and only with the text that was sealed under it.
#include <map>
#include <set>

#include "tests/fuzz/support.h"
#include "wireguard/session.h"

namespace {

using namespace fg;
using namespace fg::wireguard;

Secret<32> key(std::uint8_t n) {
  std::array<std::uint8_t, 32> bytes{};
  bytes.fill(n);
  return Secret<32>{bytes};
}

SessionKeys keys(std::uint8_t slot, bool ours, Instant now) {
  const auto a = static_cast<std::uint8_t>(2 * slot + 1);
  const auto b = static_cast<std::uint8_t>(2 * slot + 2);
  return {.local_index = ReceiverIndex{(ours ? 0xAAU : 0xBBU) << 8 | slot},
          .remote_index = (ours ? 0xBBU : 0xAAU) << 8 | slot,
          .send = key(ours ? a : b),
          .receive = key(ours ? b : a),
          .role = ours ? Role::responder : Role::initiator,
          .established = now};
}

class World {
 public:
  explicit World(Bytes input) : choices_(input) {}

  void run() {
    install();
    while (!choices_.empty()) {
      step();
      FG_LAW(ring_.size() <= SessionRing::kSize);
      if (const auto at = ring_.next_expiry()) FG_LAW(*at > now_ || ring_.size() > 0);
    }
  }

 private:
  struct Sent {
    ByteVector message;
    ByteVector text;
    std::uint8_t generation = 0;
  };

  void install() {
    ++generation_;
    const auto slot = static_cast<std::uint8_t>(generation_ % 16);
    (void)ring_.install(keys(slot, true, now_), engine_);
    peers_.insert_or_assign(slot, Peer{Session{keys(slot, false, now_), engine_}, now_});
    accepted_[slot].clear();
    sent_.erase(std::remove_if(sent_.begin(), sent_.end(),
                               [&](const Sent& s) { return s.generation == slot; }),
                sent_.end());
  }

  void step() {
    switch (choices_.below(7)) {
      case 0:
        seal();
        return;
      case 1:
        open_sent(false);
        return;
      case 2:
        open_sent(true);
        return;
      case 3: {
        auto message = copy_of(choices_.bytes());
        if (message.size() >= kDataOverhead) FG_LAW(!try_open(message, nullptr));
        return;
      }
      case 4:
        now_ += choices_.pause();
        return;
      case 5:
        ring_.expire(now_);
        if (const auto at = ring_.next_expiry()) FG_LAW(*at > now_);
        return;
      default:
        install();
        return;
    }
  }

  void seal() {
    const auto slot =
        static_cast<std::uint8_t>(choices_.below(2) == 0 ? generation_ % 16 : choices_.below(16));
    const auto peer = peers_.find(slot);
    if (peer == peers_.end() || !peer->second.session.can_send(now_)) return;
    const auto text = choices_.bytes();
    Sent sent{.message = ByteVector(text.size() + kDataOverhead),
              .text = copy_of(text),
              .generation = slot};
    std::ranges::copy(text, sent.message.begin() + kDataHeaderSize);
    FG_LAW(peer->second.session.seal(sent.message.data(), text.size()));
    FG_LAW(classify(sent.message) == MessageType::data);
    if (sent_.size() < 64) sent_.push_back(std::move(sent));
  }

  void open_sent(bool damage) {
    if (sent_.empty()) return;
    const auto sent = choices_.one_of(sent_);
    auto message = sent.message;
    if (damage) {
      const auto at = choices_.u16() % message.size();
      const auto flip = static_cast<std::uint8_t>(choices_.u8() | 1);
      message[at] ^= flip;
      FG_LAW(!try_open(message, nullptr));
      return;
    }
    (void)try_open(message, &sent);
  }

  // Whether it was accepted.
  bool try_open(ByteVector& message, const Sent* sent) {
    if (classify(message) != MessageType::data) return false;
    auto* session = ring_.find(data_receiver(message.data()));
    if (session == nullptr) return false;
    const auto counter = data_counter(message.data());
    const bool is_young = session->can_receive(now_);
    const auto result = session->open(message, now_);
    if (result.status != OpenStatus::ok) {
      FG_LAW(result.status != OpenStatus::expired || !is_young);
      const auto slot = static_cast<std::uint8_t>(number(session->local_index()) & 0xFF);
      // A genuine message is refused only for its age or because it was here before.
      if (sent != nullptr && is_young)
        FG_LAW(accepted_[slot].contains(counter) && result.status == OpenStatus::replayed);
      return false;
    }
    FG_LAW(sent != nullptr && is_young && equal(result.inner, sent->text));
    FG_LAW(accepted_[sent->generation].insert(counter).second);
    (void)ring_.on_authenticated(*session);
    FG_LAW(ring_.current() != nullptr);
    if (const auto length = inner_length(result.inner)) FG_LAW(*length <= result.inner.size());
    return true;
  }

  struct Peer {
    Session session;
    Instant since;
  };

  fuzz::Choices choices_;
  crypto::AeadEngine engine_;
  SessionRing ring_;
  std::map<std::uint8_t, Peer> peers_;
  std::map<std::uint8_t, std::set<std::uint64_t>> accepted_;
  std::vector<Sent> sent_;
  Instant now_ = fuzz::kStart;
  unsigned generation_ = 0;
};

// The window alone, against a set.
void window(Bytes input) {
  fuzz::Choices choices{input};
  ReplayWindow window;
  std::set<std::uint64_t> seen;
  std::uint64_t base = 0;
  while (!choices.empty()) {
    constexpr std::array<std::uint64_t, 8> kSteps{0, 1, 64, 8191, 8192, 8193, 16'384, 1ULL << 40};
    base += kSteps[choices.below(kSteps.size())];
    const auto back = choices.u16();
    const auto counter = base - std::min<std::uint64_t>(base, back % 8300U);
    const auto newest = seen.empty() ? 0 : *seen.rbegin();
    const bool fresh = !seen.contains(counter) && counter < kRejectAfterMessages;
    const bool recent = seen.empty() || counter + ReplayWindow::kSize > newest;
    if (window.would_accept(counter)) {
      FG_LAW(fresh);
      window.commit(counter);
      seen.insert(counter);
      FG_LAW(!window.would_accept(counter));
    } else {
      FG_LAW(!fresh || !recent);
    }
  }
}

void run(Bytes input) {
  if (input.empty()) return;
  if ((input[0] & 1) != 0)
    window(input.subspan(1));
  else
    World{input.subspan(1)}.run();
}

}  // namespace

FG_FUZZ_TARGET(run)
