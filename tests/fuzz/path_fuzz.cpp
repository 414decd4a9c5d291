// One path agent among candidates, handshakes, probes that are answered, lost or invented, and
// time.
#include "control/path/agent.h"

#include <map>
#include <set>

#include "tests/fuzz/support.h"

namespace {

using namespace fg;
using namespace fg::path;

class World {
 public:
  explicit World(Bytes input)
      : choices_(input),
        role_(choices_.flag() ? Role::controlling : Role::controlled),
        agent_(role_, fuzz::kStart) {}

  void run() {
    while (!choices_.empty()) {
      step();
      drain();
      check();
    }
  }

 private:
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
  Path path() { return {ours(), theirs()}; }
  Candidate candidate(const SocketAddress& at, const SocketAddress& base) {
    constexpr std::array kKinds{CandidateKind::host, CandidateKind::srflx, CandidateKind::relay};
    return make_candidate(kKinds[choices_.below(kKinds.size())], at, base);
  }

  void step() {
    switch (choices_.below(14)) {
      case 0: {
        const auto at = ours();
        (void)agent_.add_local(candidate(at, ours()), now_);
        return;
      }
      case 1:
        (void)agent_.remove_local(ours(), now_);
        return;
      case 2: {
        const auto at = theirs();
        const auto line = to_line(candidate(at, theirs()));
        FG_LAW(agent_.add_remote(line, now_).outcome != RemoteAddition::Outcome::unparsable);
        return;
      }
      case 3:
        (void)agent_.add_remote(choices_.text(), now_);
        return;
      case 4: {
        const auto at = theirs();
        (void)agent_.invalidate_remote(to_line(candidate(at, theirs())), now_);
        return;
      }
      case 5:
        agent_.on_initiation(path(), now_);
        return;
      case 6:
        agent_.on_response(path(), now_);
        is_usable_ = true;
        return;
      case 7:
        agent_.on_own_initiation(ByteVector(148, choices_.u8()), now_);
        return;
      case 8:
        agent_.on_usable(now_);
        is_usable_ = true;
        return;
      case 9:
        agent_.on_data(path(), now_);
        return;
      case 10:
        probe();
        return;
      case 11:
        answer();
        return;
      case 12:
        now_ += choices_.pause();
        agent_.on_timeout(now_);
        return;
      default:
        run_timers();
    }
  }

  void probe() {
    const auto arrival = path();
    const packet::Probe probe{
        .is_reply = choices_.flag(), .id = choices_.u8(), .sequence = choices_.u8()};
    if (!probe.is_reply) asked_.insert({arrival, probe.id, probe.sequence});
    agent_.on_probe(arrival, probe, now_);
  }
  void answer() {
    if (probes_.empty()) return;
    auto [path, probe] = choices_.one_of(probes_);
    probe.is_reply = true;
    agent_.on_probe(path, probe, now_);
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
      const auto next = agent_.wakeup();
      FG_LAW(!next || next->at > now_);
    }
  }

  void drain() {
    const auto before = agent_.wakeup();
    std::size_t outputs = 0;
    for (; const auto out = agent_.poll_transmit(); ++outputs) {
      if (const auto* probe = std::get_if<packet::Probe>(&out->what)) {
        if (probe->is_reply) {
          FG_LAW(asked_.contains({out->path, probe->id, probe->sequence}));
        } else {
          FG_LAW(is_usable_);
          if (probes_.size() >= 64) probes_.erase(probes_.begin());
          probes_.emplace_back(out->path, *probe);
        }
      } else {
        // Before there is a session only the controlling side begins.
        FG_LAW(agent_.has_session() || role_ == Role::controlling);
      }
    }
    for (; const auto event = agent_.poll_event(); ++outputs) {
      FG_LAW(!is_over_);
      is_over_ = std::holds_alternative<Failed>(*event);
    }
    FG_LAW(outputs == 0 || (before && before->at <= now_));
    FG_LAW(outputs <= kTransmitsMax + 2);
    asked_.clear();
  }

  void check() {
    std::map<CandidateKind, std::size_t> kinds;
    for (const auto& remote : agent_.remote_candidates()) ++kinds[remote.kind];
    for (const auto& [kind, count] : kinds)
      FG_LAW(count <= kRemotesMaxPerKind && kind != CandidateKind::prflx);
    FG_LAW(agent_.local_candidates().size() <= 3 * kLocalsMaxPerKind);
    for (const auto& local : agent_.local_candidates()) {
      const auto line = parse_line(to_line(local));
      FG_LAW(line && line->address == local.address && line->kind == local.kind);
    }
    std::set<Path> paths;
    std::set<PairId> ids;
    for (const auto& pair : agent_.pairs()) {
      FG_LAW(pair.path().local.family() == pair.path().remote.family());
      FG_LAW(paths.insert(pair.path()).second && ids.insert(pair.id()).second);
    }
    FG_LAW(!agent_.primary() || paths.contains(*agent_.primary()));
    FG_LAW(is_over_ == agent_.has_failed());
    if (is_over_) FG_LAW(!agent_.wakeup());
  }

  struct Asked {
    Path path;
    std::uint16_t id = 0;
    std::uint16_t sequence = 0;
    friend auto operator<=>(const Asked&, const Asked&) = default;
  };
  fuzz::Choices choices_;
  Role role_;
  Instant now_ = fuzz::kStart;
  Agent agent_;
  bool is_usable_ = false;
  bool is_over_ = false;
  std::set<Asked> asked_;
  std::vector<std::pair<Path, packet::Probe>> probes_;
};

void run(Bytes input) { World{input}.run(); }

}  // namespace

FG_FUZZ_TARGET(run)
