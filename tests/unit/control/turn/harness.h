// Drives a TURN client machine against a scripted relay: drains every output after each input,
// checks the sans-IO contract on the way, and moves time from wake-up to wake-up.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/random.h"
#include "control/stun/builder.h"
#include "control/stun/key.h"
#include "control/stun/message.h"
#include "control/turn/allocation.h"

namespace fg::turn {

inline SocketAddress addr(std::string_view text) { return SocketAddress::parse(text).value(); }

inline const SocketAddress kServerV4 = addr("198.51.100.30:3478");
inline const SocketAddress kServerV6 = addr("[2001:db8:51::30]:3478");
inline const SocketAddress kLocalV4 = addr("192.0.2.10:52625");
inline const SocketAddress kLocalV6 = addr("[2001:db8::10]:52625");
inline const SocketAddress kMapped = addr("203.0.113.1:40000");
inline const SocketAddress kRelayedV4 = addr("198.51.100.30:50000");
inline const SocketAddress kRelayedV6 = addr("[2001:db8:51::30]:50000");
inline constexpr Instant kStart{Duration{1'000'000'000'000}};

inline RelayId relay_id(std::uint8_t n) { return RelayId{std::array<std::uint8_t, 16>{n}}; }

inline Relay dual_relay() {
  return {.id = relay_id(1),
          .v4 = kServerV4,
          .v6 = kServerV6,
          .username = "2145916800:salt",
          .password = SecretText{"pw"}};
}
inline Relay v4_relay() {
  return {.id = relay_id(1),
          .v4 = kServerV4,
          .v6 = {},
          .username = "2145916800:salt",
          .password = SecretText{"pw"}};
}

struct Sent {
  Duration at{};  // since kStart
  SocketAddress to;
  ByteVector bytes;

  [[nodiscard]] stun::Message message() const { return stun::Message::parse(bytes).value(); }
  [[nodiscard]] stun::Method method() const { return message().method(); }
};

using Attributes = std::vector<std::uint16_t>;

inline std::vector<Duration> times(const std::vector<Sent>& sent, const SocketAddress& to) {
  std::vector<Duration> out;
  for (const auto& s : sent) {
    if (s.to == to) out.push_back(s.at);
  }
  return out;
}

inline Attributes attributes_of(const Sent& sent) {
  Attributes out;
  const auto m = sent.message();
  for (auto a = m.first(); a; a = m.next(*a)) out.push_back(a->type);
  return out;
}

enum class Sign : std::uint8_t { right, wrong, none };

using Fill = std::function<void(stun::Builder&)>;

// A response to the request, made by the relay of the given credentials.
inline ByteVector respond(const Sent& request, stun::Class type_class, Sign sign, const Fill& fill,
                          const Relay& relay = dual_relay()) {
  std::array<std::uint8_t, stun::kMessageMax> buffer{};
  stun::Builder b{buffer, request.method(), type_class, request.message().transaction()};
  if (fill) fill(b);
  const auto right = stun::long_term_key(relay.username, "firezone", relay.password);
  if (sign == Sign::right) b.integrity(right.expose());
  if (sign == Sign::wrong) b.integrity(as_bytes("some other key"));
  return copy_of(b.finish().value());
}

inline Fill challenge(int code, std::string nonce, std::string realm = "firezone") {
  return [=](stun::Builder& b) {
    b.error_code(code, "text");
    if (!realm.empty()) b.realm(realm);
    if (!nonce.empty()) b.nonce(nonce);
  };
}
inline Fill error(int code) {
  return [=](stun::Builder& b) { b.error_code(code, "text"); };
}
inline Fill mapped(const SocketAddress& address) {
  return [=](stun::Builder& b) { b.xor_mapped_address(address); };
}
inline Fill lifetime(std::uint32_t seconds) {
  return [=](stun::Builder& b) { b.lifetime(seconds); };
}
inline Fill granted(std::uint32_t seconds,
                    std::vector<SocketAddress> relayed = {kRelayedV4, kRelayedV6}) {
  return [=](stun::Builder& b) {
    for (const auto& address : relayed) b.xor_relayed_address(address);
    b.xor_mapped_address(kMapped).lifetime(seconds);
  };
}

// Machine: Allocation or RelaySet. EventType: what its poll_event() yields.
template <class Machine, class EventType>
class Driver {
 public:
  explicit Driver(Machine& machine) : machine_(machine) {}

  Instant now = kStart;
  std::vector<Sent> sent;
  std::vector<EventType> events;

  // Call after every input: takes all outputs and checks the contract.
  void drain() {
    const std::size_t before = sent.size() + events.size();
    const auto wakeup_before = machine_.wakeup();
    while (auto datagram = machine_.poll_datagram()) {
      sent.push_back({.at = now - kStart, .to = datagram->to, .bytes = std::move(datagram->bytes)});
    }
    while (auto event = machine_.poll_event()) events.push_back(*event);
    if (sent.size() + events.size() > before) {
      ASSERT_TRUE(wakeup_before);
      EXPECT_LE(wakeup_before->at, now) << "queued output, but the wake-up is later than now";
    }
    if (const auto wakeup = machine_.wakeup()) {
      EXPECT_GE(wakeup->at, now) << "wake-up in the past: " << wakeup->why;
    }
  }

  void timeout() {
    machine_.on_timeout(now);
    drain();
    const auto wakeup = machine_.wakeup();
    if (wakeup) {
      EXPECT_GT(wakeup->at, now) << "no progress: " << wakeup->why;
    }
    const std::size_t before = sent.size() + events.size();
    machine_.on_timeout(now);
    drain();
    EXPECT_EQ(sent.size() + events.size(), before)
        << "a second on_timeout at the same time did something";
  }

  // Runs all wake-ups up to and including this time since kStart.
  void run_until(Duration since_start) {
    const Instant end = kStart + since_start;
    for (int guard = 0; guard < 100000; ++guard) {
      const auto wakeup = machine_.wakeup();
      if (!wakeup || wakeup->at > end) break;
      now = std::max(now, wakeup->at);
      timeout();
    }
    now = std::max(now, end);
  }
  void run_for(Duration duration) { run_until(now - kStart + duration); }

  [[nodiscard]] std::vector<Sent> all(stun::Method method) const {
    std::vector<Sent> out;
    std::copy_if(sent.begin(), sent.end(), std::back_inserter(out), [&](const Sent& s) {
      const auto m = stun::Message::parse(s.bytes);
      return m && m->method() == method;
    });
    return out;
  }
  [[nodiscard]] Sent last(stun::Method method) const {
    const auto found = all(method);
    EXPECT_FALSE(found.empty()) << "nothing of method " << static_cast<int>(method) << " was sent";
    return found.empty() ? sent.at(0) : found.back();
  }
  [[nodiscard]] std::size_t count(stun::Method method) const { return all(method).size(); }

 private:
  Machine& machine_;
};

// One allocation and its relay.
class Client : public Driver<Allocation, Event> {
 public:
  explicit Client(Relay relay = dual_relay(), Options options = {})
      : Driver(allocation), allocation(std::move(relay), std::move(options), random_, kStart) {
    drain();
  }

  void receive(const SocketAddress& from, Bytes bytes) {
    const auto m = stun::Message::parse(bytes);
    ASSERT_TRUE(m);
    const auto reason = allocation.on_message(from, from.ip.is_v4() ? kLocalV4 : kLocalV6, *m, now);
    if (reason) ++dropped[*reason];
    drain();
  }
  void reply(const Sent& request, stun::Class type_class, const Fill& fill,
             Sign sign = Sign::right) {
    receive(request.to, respond(request, type_class, sign, fill, allocation.relay()));
  }
  void succeed(const Sent& request, const Fill& fill = {}, Sign sign = Sign::right) {
    reply(request, stun::Class::success, fill, sign);
  }
  void refuse(const Sent& request, const Fill& fill, Sign sign = Sign::right) {
    reply(request, stun::Class::error, fill, sign);
  }

  // The request to this server among the first BINDINGs.
  [[nodiscard]] Sent binding_to(const SocketAddress& server) const {
    for (const auto& s : all(stun::Method::binding)) {
      if (s.to == server) return s;
    }
    ADD_FAILURE() << "no BINDING to " << server.to_string();
    return sent.at(0);
  }
  void bind_v4() { succeed(binding_to(kServerV4), mapped(kMapped), Sign::none); }
  // As Firezone's relay: BINDING, challenge, grant.
  void allocate(std::uint32_t seconds = 600, Sign sign = Sign::right) {
    bind_v4();
    refuse(last(stun::Method::allocate), challenge(401, "nonce-1"), sign);
    succeed(last(stun::Method::allocate), granted(seconds), sign);
  }
  ChannelNumber bind(const SocketAddress& peer) {
    ask(peer);
    const auto request = last(stun::Method::channel_bind);
    succeed(request);
    return ChannelNumber{request.message().channel_number().value()};
  }
  // Lets time pass with a relay that answers every BINDING.
  void stay_until(Duration since_start) {
    const Instant end = kStart + since_start;
    for (int guard = 0; guard < 10000; ++guard) {
      const auto wakeup = allocation.wakeup();
      if (!wakeup || wakeup->at > end) break;
      const auto before = count(stun::Method::binding);
      now = std::max(now, wakeup->at);
      timeout();
      if (count(stun::Method::binding) > before)
        succeed(last(stun::Method::binding), mapped(kMapped), Sign::none);
    }
    now = std::max(now, end);
  }
  void ask(const SocketAddress& peer) {
    allocation.bind_channel(peer, now);
    drain();
  }
  void data(ChannelNumber number) {
    allocation.on_channel_data(number, now);
    drain();
  }

  template <class T>
  [[nodiscard]] std::vector<T> events_of() const {
    std::vector<T> out;
    for (const auto& event : events) {
      if (const auto* e = std::get_if<T>(&event)) out.push_back(*e);
    }
    return out;
  }
  std::map<DropReason, std::size_t> dropped;
  [[nodiscard]] std::optional<FreedReason> freed() const {
    const auto found = events_of<Freed>();
    EXPECT_LE(found.size(), 1U);
    return found.empty() ? std::nullopt : std::optional{found.back().reason};
  }

 private:
  SeededRandom random_{7};

 public:
  Allocation allocation;
};

}  // namespace fg::turn
