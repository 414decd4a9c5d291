// The flow table against a list that is searched from end to end and follows spec policy 5.1-5.4
// word by word.
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>

#include "nat/flow_table.h"

namespace fg::nat {
namespace {

using Kind = packet::ProtoClass::Kind;
using Found = FlowTable::Found;

class Model {
 public:
  std::optional<Outside> on_outgoing(const Inside& inside, const IpAddress& real,
                                     std::uint8_t flags, Instant now) {
    for (auto& s : sessions_) {
      if (s.inside != inside) continue;
      s.last_outgoing = now;
      if (flags & 2) s.fin_out = s.fin_in = s.rst = false;
      if (flags & 1) s.fin_out = true;
      if (flags & 4) s.rst = true;
      return s.outside;
    }
    std::vector<unsigned> values{inside.port};
    for (unsigned v = inside.port + 1U; v <= 65535; ++v) values.push_back(v);
    for (unsigned v = 1; v < inside.port; ++v) values.push_back(v);
    for (const auto v : values) {
      const Outside outside{{inside.kind, static_cast<std::uint16_t>(v), real}};
      if (std::ranges::any_of(sessions_, [&](auto& s) { return s.outside == outside; })) continue;
      std::erase_if(expired_, [&](auto& e) { return e.outside == outside; });
      sessions_.push_back({.inside = inside, .outside = outside, .last_outgoing = now});
      return outside;
    }
    return std::nullopt;
  }

  Found on_incoming(const Outside& outside, std::uint8_t flags, Instant now, Inside& inside) {
    for (auto& s : sessions_) {
      if (s.outside != outside) continue;
      s.last_incoming = now;
      if (flags & 1) s.fin_in = true;
      if (flags & 4) s.rst = true;
      inside = s.inside;
      return Found::live;
    }
    const bool late = std::ranges::any_of(expired_, [&](auto& e) { return e.outside == outside; });
    return late ? Found::expired : Found::unknown;
  }

  void on_direct(const Outside& outside) {
    std::erase_if(expired_, [&](auto& e) { return e.outside == outside; });
  }

  void sweep(Instant now) {
    std::erase_if(expired_, [&](auto& e) { return e.since + 300s <= now; });
    std::erase_if(sessions_, [&](auto& s) {
      const auto last = std::max(s.last_outgoing, s.last_incoming.value_or(s.last_outgoing));
      auto end = last + (s.inside.kind == Kind::tcp ? 7440s : 120s);
      if (!s.last_incoming) end = std::min(end, s.last_outgoing + 60s);
      if (s.fin_in && s.fin_out) end = std::min(end, last + 5s);
      if (s.rst) end = std::min(end, last);
      if (now < end) return false;
      expired_.push_back({s.outside, now});
      return true;
    });
  }

  [[nodiscard]] std::size_t size() const { return sessions_.size(); }
  [[nodiscard]] std::size_t expired() const { return expired_.size(); }

 private:
  struct Session {
    Inside inside;
    Outside outside;
    Instant last_outgoing;
    std::optional<Instant> last_incoming = {};
    bool fin_out = false;
    bool fin_in = false;
    bool rst = false;
  };
  struct Expired {
    Outside outside;
    Instant since;
  };
  std::vector<Session> sessions_;
  std::vector<Expired> expired_;
};

template <class T>
T pick(std::vector<T> from) {
  return *rc::gen::elementOf(std::move(from));
}
Kind any_kind() { return pick<Kind>({Kind::tcp, Kind::udp, Kind::echo}); }
std::uint16_t any_port() { return pick<std::uint16_t>({0, 1, 2, 3, 65534, 65535}); }
IpAddress any_proxy() { return IpAddress::v4(100, 96, 0, pick<std::uint8_t>({1, 2, 3})); }
IpAddress any_real() {
  return pick<IpAddress>({IpAddress::v4(192, 0, 2, 1), IpAddress::v4(192, 0, 2, 2),
                          IpAddress::v6({0x20, 1, 0xD, 0xB8})});
}

// A packet's way to its flow that was begun some steps ago, or none.
template <class End>
struct Begun {
  End end;
  FlowTable::Search search;
};
template <class End>
Begun<End> any_of(std::vector<Begun<End>>& earlier, const End& end, std::uint64_t seed) {
  if (!earlier.empty() && *rc::gen::inRange(0, 3) == 0) return pick(earlier);
  return {end, {seed, end}};
}

RC_GTEST_PROP(FlowTableProperty, DoesWhatTheListDoes, ()) {
  // Packets come between whole seconds, sweeps on them.
  Instant now{std::chrono::milliseconds{1'000'250}};
  const auto seed = *rc::gen::arbitrary<std::uint64_t>();
  FlowStore store{seed};
  store.refill();
  FlowTable table{store, seed, now};
  Model model;
  std::vector<Begun<Inside>> outgoing;
  std::vector<Begun<Outside>> incoming;
  const auto steps = *rc::gen::inRange(1, 200);
  for (int i = 0; i < steps; ++i) {
    const auto flags = pick<std::uint8_t>({0, 0, 0x10, 1, 2, 4, 0x11, 0x12});
    switch (*rc::gen::inRange(0, 8)) {
      case 0:
      case 1:
      case 2: {
        auto [inside, search] =
            any_of(outgoing, Inside{{any_kind(), any_port(), any_proxy()}}, seed);
        const auto real = any_real();
        if (*rc::gen::arbitrary<bool>()) (void)table.find_outgoing(search);
        const auto expected = model.on_outgoing(inside, real, flags, now);
        const auto* mapping = table.on_outgoing(inside, search, real, flags, now);
        RC_ASSERT((mapping != nullptr) == expected.has_value());
        if (mapping == nullptr) break;
        RC_ASSERT(mapping->inside() == inside && mapping->outside() == *expected);
        (void)table.find_outgoing(search);
        outgoing.push_back({inside, search});
        break;
      }
      case 3:
      case 4:
      case 5: {
        auto [outside, search] =
            any_of(incoming, Outside{{any_kind(), any_port(), any_real()}}, seed);
        if (*rc::gen::arbitrary<bool>()) (void)table.find_incoming(search);
        Inside expected;
        const auto found = model.on_incoming(outside, flags, now, expected);
        const auto known = table.on_incoming(outside, search, flags, now);
        RC_ASSERT(known.found == found);
        RC_ASSERT((known.mapping != nullptr) == (found == Found::live));
        if (known.mapping != nullptr) RC_ASSERT(known.mapping->inside() == expected);
        (void)table.find_incoming(search);
        incoming.push_back({outside, search});
        break;
      }
      case 6: {
        const Outside outside{{any_kind(), any_port(), any_real()}};
        table.on_direct(outside);
        model.on_direct(outside);
        break;
      }
      default: {
        const auto end = now + pick<Duration>({500ms, 1s, 5s, 30s, 60s, 120s, 300s, 7440s});
        for (auto s = std::chrono::ceil<std::chrono::seconds>(now); s <= end; s += 1s) {
          model.sweep(s);
          if (const auto at = table.next_sweep(); at && *at <= s) table.sweep(s);
        }
        now = end;
      }
    }
    RC_ASSERT(table.size() == model.size());
    RC_ASSERT(table.expired() == model.expired());
  }
}

}  // namespace
}  // namespace fg::nat
