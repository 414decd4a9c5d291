// One ICE agent among candidates, checks that succeed or conflict, and time. Requests and responses
// are signed with the right passwords, so they reach the logic behind authentication.
#include "control/ice/agent.h"
#include "control/stun/builder.h"
#include "control/stun/key.h"
#include "tests/fuzz/support.h"

namespace {

using namespace fg;
using namespace fg::ice;

const Credentials kOurs{"qhpm", SecretText{"kvpwadif6734sdalah6lja"}};
const Credentials kTheirs{"mp5g", SecretText{"3bge3cho6ue5a4xiy6p34m"}};

// What must not change when a message is refused.
struct Snapshot {
  AgentState state;
  Role role;
  std::size_t pairs;
  std::size_t remotes;
  std::optional<Path> path;
  friend bool operator==(const Snapshot&, const Snapshot&) = default;
};

class World {
 public:
  explicit World(Bytes input) : choices_(input), agent_(options(), random_, fuzz::kStart) {}

  void run() {
    while (!choices_.empty()) {
      step();
      drain();
      check();
    }
  }

 private:
  Agent::Options options() {
    const auto choice = choices_.u8();
    Agent::Options out{(choice & 1) == 0 ? Role::controlled : Role::controlling, kOurs, kTheirs,
                       kServerDefault, LineForm::standard};
    if ((choice & 2) != 0) out.remote.reset();
    if ((choice & 4) != 0) out.profile = kClientDefault;
    return out;
  }
  SocketAddress address(std::uint8_t net) {
    const auto choice = choices_.u8();
    const auto port = static_cast<std::uint16_t>(52625 + (choice & 3));
    const auto host = static_cast<std::uint8_t>(1 + (choice >> 2 & 3));
    if ((choice & 0x40) == 0) return {IpAddress::v4(192, 0, net, host), port};
    std::array<std::uint8_t, 16> bytes{0x20, 0x01, 0x0d, 0xb8};
    bytes[5] = net;
    bytes[15] = host;
    return {IpAddress::v6(bytes), port};
  }
  SocketAddress ours() { return address(2); }
  SocketAddress theirs() { return address(3); }

  Candidate remote_candidate() {
    const auto kind = static_cast<CandidateKind>(choices_.below(4));
    const auto at = theirs();
    return {.kind = kind,
            .address = at,
            .base = at,
            .raddr = {},
            .priority = choices_.u32(),
            .foundation = "1"};
  }

  void step() {
    switch (choices_.below(12)) {
      case 0:
        add_local();
        return;
      case 1:
        (void)agent_.remove_local(ours(), now_);
        return;
      case 2:
        add_remote();
        return;
      case 3:
        (void)agent_.add_remote(choices_.text(), now_);
        return;
      case 4:
        (void)agent_.invalidate_remote(to_line(remote_candidate(), "mp5g"), now_);
        return;
      case 5:
        receive(request(), ours(), theirs());
        return;
      case 6:
        receive_success();
        return;
      case 7:
        pass_time(choices_.pause());
        return;
      case 8:
        run_timers();
        return;
      case 9:
        agent_.set_profile(choices_.flag() ? kServerIdle : kServerDefault, now_);
        return;
      case 10:
        if (!agent_.remote_credentials()) agent_.set_remote_credentials(kTheirs, now_);
        return;
      default: {
        const auto bytes = copy_of(choices_.bytes());
        receive(bytes, ours(), theirs());
      }
    }
  }

  void add_local() {
    const auto at = ours();
    switch (choices_.below(3)) {
      case 0:
        (void)agent_.add_local(LocalAddress::host(at), now_);
        return;
      case 1:
        (void)agent_.add_local(LocalAddress::server_reflexive(address(4), at), now_);
        return;
      default:
        (void)agent_.add_local(LocalAddress::relayed(at, choices_.flag() ? Family::v4 : Family::v6),
                               now_);
    }
  }
  void add_remote() {
    const auto added = agent_.add_remote(to_line(remote_candidate(), "mp5g"), now_);
    FG_LAW(added.outcome != RemoteAddition::Outcome::unparsable);
    if (added.is_accepted() && agent_.remote_candidates().size() < kRemoteCandidatesMax) {
      FG_LAW(std::ranges::any_of(agent_.remote_candidates(),
                                 [&](const Candidate& c) { return is_same(c, added.candidate); }));
    }
  }

  ByteVector request() {
    const auto what = choices_.u8();
    std::array<std::uint8_t, stun::kMessageMax> buffer{};
    const auto type_class =
        (what & 0xC0) == 0xC0 ? static_cast<stun::Class>(choices_.below(4)) : stun::Class::request;
    stun::Builder b{buffer, stun::Method::binding, type_class, {what, choices_.u8()}};
    b.username((what & 1) != 0 ? "qhpm:xxxx" : "qhpm:mp5g");
    const std::uint64_t tie_breaker = (what & 2) != 0 ? ~std::uint64_t{0} : 1;
    if ((what & 4) != 0)
      b.ice_controlled(tie_breaker);
    else
      b.ice_controlling(tie_breaker);
    if ((what & 0x28) != 0x28) b.priority(choices_.u32());
    if ((what & 0x10) != 0) b.use_candidate();
    b.integrity(stun::short_term_key(kOurs.password)).fingerprint();
    return copy_of(*b.finish());
  }

  void receive(const ByteVector& bytes, const SocketAddress& local, const SocketAddress& remote) {
    const auto message = stun::Message::parse(bytes);
    if (!message) return;
    const auto before = snapshot();
    if (!agent_.on_message(*message, local, remote, now_)) return;
    auto after = snapshot();
    // Spec connectivity 2.13: the role is settled in step 3, before the sender and USE-CANDIDATE
    // are judged.
    after.role = before.role;
    FG_LAW(after == before);
  }
  void receive_success() {
    if (checks_.empty()) return;
    const auto check = choices_.one_of(checks_);
    const auto mapped = choices_.flag() ? check.local : ours();
    std::array<std::uint8_t, stun::kMessageMax> buffer{};
    stun::Builder b{buffer, stun::Method::binding, stun::Class::success, *check.transaction};
    b.xor_mapped_address(mapped).integrity(stun::short_term_key(kTheirs.password)).fingerprint();
    receive(copy_of(*b.finish()), check.local, choices_.flag() ? check.remote : theirs());
  }

  void pass_time(Duration by) {
    now_ += by;
    agent_.on_timeout(now_);
  }
  // As its owner would: from wake-up to wake-up.
  void run_timers() {
    for (auto n = choices_.below(32); n > 0; --n) {
      const auto wakeup = agent_.wakeup();
      if (!wakeup) return;
      FG_LAW(wakeup->at >= now_);
      now_ = wakeup->at;
      agent_.on_timeout(now_);
      drain();
    }
  }

  void drain() {
    const auto before = agent_.wakeup();
    std::size_t outputs = 0;
    for (; const auto transmit = agent_.poll_transmit(); ++outputs) check(*transmit);
    for (; const auto event = agent_.poll_event(); ++outputs) {
      FG_LAW(!is_over_);  // Failed is the last word
      if (const auto* nominated = std::get_if<Nominated>(&*event)) last_path_ = nominated->path;
      if (const auto* changed = std::get_if<StateChanged>(&*event)) {
        FG_LAW(changed->from == told_ && changed->to != changed->from);
        told_ = changed->to;
      }
      is_over_ = std::holds_alternative<Failed>(*event);
    }
    FG_LAW(outputs == 0 || (before && before->at <= now_));
    FG_LAW(outputs <= kTransmitsMax + kEventsMax);
  }

  void check(const Transmit& transmit) {
    const auto message = stun::Message::parse(transmit.bytes);
    FG_LAW(message && message->has_fingerprint() && message->method() == stun::Method::binding);
    const bool is_check = message->type_class() == stun::Class::request;
    FG_LAW(is_check == transmit.transaction.has_value());
    const auto& signer = is_check ? kTheirs : kOurs;
    FG_LAW(message->verify_integrity(stun::short_term_key(signer.password)));
    if (!is_check) return;
    FG_LAW(message->transaction() == *transmit.transaction && message->username() == "mp5g:qhpm" &&
           message->priority());
    FG_LAW(message->ice_controlled().has_value() != message->ice_controlling().has_value());
    if (checks_.size() >= 64) checks_.erase(checks_.begin());
    checks_.push_back(transmit);
  }

  void check() {
    FG_LAW(agent_.pair_count() <= kPairsMax);
    FG_LAW(agent_.local_candidates().size() <= kLocalCandidatesMax);
    FG_LAW(agent_.remote_candidates().size() <= kRemoteCandidatesMax);
    FG_LAW(told_ == agent_.state() && is_over_ == agent_.has_failed());
    const auto& path = agent_.nominated();
    if (path)
      FG_LAW(!agent_.has_failed() && path == last_path_ &&
             agent_.has_pair(path->local, path->remote));
    if (agent_.is_connected() && !agent_.has_failed()) FG_LAW(path.has_value());
    const auto wakeup = agent_.wakeup();
    FG_LAW(!agent_.has_failed() || !wakeup);
    for (const auto& candidate : agent_.local_candidates()) {
      FG_LAW(candidate.kind != CandidateKind::prflx);
      FG_LAW(parse_line(agent_.line_of(candidate)).has_value());
    }
  }

  [[nodiscard]] Snapshot snapshot() const {
    return {agent_.state(), agent_.role(), agent_.pair_count(), agent_.remote_candidates().size(),
            agent_.nominated()};
  }

  fuzz::Choices choices_;
  SeededRandom random_{42};
  Instant now_ = fuzz::kStart;
  Agent agent_;
  std::vector<Transmit> checks_;
  std::optional<Path> last_path_;
  AgentState told_ = AgentState::initial;
  bool is_over_ = false;
};

void run(Bytes input) { World{input}.run(); }

}  // namespace

FG_FUZZ_TARGET(run)
