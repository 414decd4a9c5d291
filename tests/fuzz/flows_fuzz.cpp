// A client's flow table: what leaves comes back to where it came from, no two flows share an
// outside, limits hold, and time always has something later to wait for.
#include <map>
#include <tuple>

#include "nat/flow_table.h"
#include "tests/fuzz/support.h"

namespace {

using namespace fg;
using namespace fg::nat;
using Kind = packet::ProtoClass::Kind;
using Key = std::tuple<Kind, std::uint16_t, IpAddress>;

Key key(const FlowEnd& end) { return {end.kind, end.port, end.address}; }

class World {
 public:
  explicit World(Bytes input) : choices_(input) {}

  void run() {
    while (!choices_.empty()) {
      step();
      FG_LAW(table_.size() + table_.expired() <= kLimits.flows);
      FG_LAW(table_.expired() <= kLimits.expired);
      FG_LAW(table_.is_empty() == (table_.size() + table_.expired() == 0));
      FG_LAW(table_.next_sweep().has_value() == !table_.is_empty());
    }
  }

 private:
  static constexpr FlowTable::Limits kLimits{
      .flows = 24, .expired = 8, .per_sweep = 5, .looks_per_second = 64};

  FlowEnd end(std::uint8_t third) {
    const auto kind = choices_.one_of<Kind>({Kind::tcp, Kind::udp, Kind::echo});
    const auto port = choices_.one_of<std::uint16_t>({0, 1, 2, 3, 65534, 65535});
    return {kind, port, IpAddress::v4(10, 0, third, static_cast<std::uint8_t>(choices_.below(3)))};
  }

  void step() {
    switch (choices_.below(8)) {
      case 0:
      case 1:
      case 2:
        return send();
      case 3:
      case 4:
        return answer();
      case 5: {
        const Outside outside{end(1)};
        table_.on_direct(outside);
        Inside inside;
        const auto found = table_.on_incoming(outside, 0, now_, inside);
        FG_LAW(found != FlowTable::Found::expired);
        return;
      }
      case 6:
        if (choices_.u8() == 0) table_.clear();
        return;
      default:
        return pass();
    }
  }

  void send() {
    const Inside inside{end(0)};
    const auto real = end(1).address;
    const auto before = table_.size();
    const auto outside = table_.on_outgoing(inside, real, choices_.u8(), now_);
    if (!outside) {
      FG_LAW(table_.size() == before);
      return;
    }
    FG_LAW(outside->kind == inside.kind);
    // The same again, and back.
    FG_LAW(table_.on_outgoing(inside, IpAddress::v4(9, 9, 9, 9), 0, now_) == outside);
    outside_[key(inside)] = *outside;
    for (auto it = outside_.begin(); it != outside_.end(); ++it) {
      if (it->first != key(inside) && key(it->second) == key(*outside)) {
        outside_.erase(it);  // that one had ended
        break;
      }
    }
  }

  void answer() {
    const Outside outside{end(1)};
    Inside inside;
    if (table_.on_incoming(outside, choices_.u8(), now_, inside) != FlowTable::Found::live) return;
    const auto known = outside_.find(key(inside));
    FG_LAW(known != outside_.end() && known->second == outside);
  }

  void pass() {
    constexpr std::array<Duration, 6> kSteps = {1ms, 1s, 6s, 61s, 301s, 7441s};
    const auto until = now_ + kSteps.at(choices_.below(kSteps.size()));
    while (const auto at = table_.next_sweep()) {
      if (*at > until) break;
      now_ = std::max(now_, *at);
      store_.refill();
      table_.sweep(now_);
      if (const auto next = table_.next_sweep()) FG_LAW(*next > now_);
    }
    now_ = until;
  }

  fuzz::Choices choices_;
  Instant now_ = fuzz::kStart;
  FlowStore store_{7};
  FlowTable table_{store_, 7, now_, kLimits};
  std::map<Key, Outside> outside_;  // the newest of each inside
};

void run(Bytes input) { World{input}.run(); }

}  // namespace

FG_FUZZ_TARGET(run)
