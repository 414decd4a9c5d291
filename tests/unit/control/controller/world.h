// The controller between a relay that answers, a portal that is a list of what was said, and
// workers that are a list of what was commanded. Virtual time; datagrams arrive in the same
// instant.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/random.h"
#include "control/controller/controller.h"
#include "control/stun/builder.h"
#include "control/stun/key.h"
#include "control/stun/message.h"
#include "wireguard/identity.h"

namespace fg::test {

inline IpAddress ip(const char* text) { return *IpAddress::parse(text); }
inline SocketAddress at(const char* text) { return *SocketAddress::parse(text); }

inline const ClientId kClient = *ClientId::parse("7d0f1c52-9b1e-4c63-8a57-2f6d3f0b9e11");

// What a portal sends of a client that is new here: one grant.
inline portal::Authorize authorization() {
  portal::Authorize out;
  out.ref = "ref-1";
  out.resource.id = *ResourceId::parse("c2a9e4d7-0b35-4f18-92c6-5d71f3e8ab04");
  out.resource.name = "lab";
  out.resource.network = *Cidr::parse("10.20.0.0/24", true);
  out.client.id = kClient;
  out.client.public_key.fill(7);
  out.client.preshared_key = Secret<32>{{1, 2, 3}};
  out.client.v4 = ip("100.80.3.17");
  out.client.v6 = ip("fd00:2021:1111::3:11");
  out.client_ice = {"277o", SecretText{"b6fvcn2h22ah436p3el3zr"}};
  out.gateway_ice = {"6pya", SecretText{"vvzsh3aql5cprilhk5hpja"}};
  return out;
}

class QuietLog final : public LogSink {
 public:
  [[nodiscard]] bool is_enabled(LogLevel, std::string_view) const override { return true; }
  void write(LogLevel level, std::string_view, std::string_view message,
             std::span<const LogField>) override {
    // An error is a failed promise, in every test.
    if (level == LogLevel::error) ADD_FAILURE() << "error logged: " << message;
    lines.emplace_back(message);
  }
  std::vector<std::string> lines;
};

// A dual-stack relay of generation B as far as a client sees it: signs, allocates, binds, forwards.
class FakeRelay {
 public:
  FakeRelay() = default;
  SocketAddress v4 = at("198.51.100.30:3478");
  SocketAddress v6 = at("[2001:db8:51::30]:3478");
  std::string username = "2145916800:salt";
  SecretText password{"relay-password"};
  std::uint16_t port = 50'000;
  bool is_silent = false;
  bool is_full = false;  // answers, but allocates nothing
  bool refuses_credentials = false;
  int refuses_channels = 0;  // with this error; a thousand times
  unsigned refusals = 0;
  unsigned asked = 0;  // requests of any kind
  std::map<std::uint16_t, SocketAddress> channels;

  [[nodiscard]] portal::Relay entry(const RelayId& id) const {
    return {id, v4, v6, username, password};
  }

  // The answer to a datagram sent to one of our sockets.
  std::optional<ByteVector> answer(const SocketAddress& source, Bytes bytes) {
    const auto message = stun::Message::parse(bytes);
    if (message) ++asked;
    if (is_silent || !message) return std::nullopt;
    std::array<std::uint8_t, stun::kMessageMax> buffer{};
    stun::Builder out{buffer, static_cast<std::uint16_t>(message->type() | 0x0100),
                      message->transaction()};
    const auto key = stun::long_term_key(username, "firezone", password);
    if (message->is(stun::Method::binding, stun::Class::request)) {
      out.xor_mapped_address(source);
      return copy_of(*out.finish());
    }
    if (!message->nonce() || refuses_credentials) {
      stun::Builder refused{buffer, static_cast<std::uint16_t>(message->type() | 0x0110),
                            message->transaction()};
      refused.error_code(401, "Unauthorized")
          .realm("firezone")
          .nonce("nonce-1")
          .integrity(key.expose());
      return copy_of(*refused.finish());
    }
    EXPECT_TRUE(message->verify_integrity(key.expose()));
    if (is_full && message->is(stun::Method::allocate, stun::Class::request)) {
      stun::Builder refused{buffer, static_cast<std::uint16_t>(message->type() | 0x0110),
                            message->transaction()};
      refused.error_code(486, "Allocation Quota Reached").integrity(key.expose());
      return copy_of(*refused.finish());
    }
    if (message->is(stun::Method::allocate, stun::Class::request)) {
      out.xor_relayed_address({v4.ip, port})
          .xor_relayed_address({v6.ip, port})
          .xor_mapped_address(source)
          .lifetime(600);
    } else if (message->is(stun::Method::refresh, stun::Class::request)) {
      out.lifetime(600);
    } else if (refuses_channels != 0) {
      if (++refusals > 1000) return std::nullopt;
      stun::Builder refused{buffer, static_cast<std::uint16_t>(message->type() | 0x0110),
                            message->transaction()};
      refused.error_code(refuses_channels, "Refused").integrity(key.expose());
      return copy_of(*refused.finish());
    } else {
      channels[*message->channel_number()] = *message->xor_peer_address();
    }
    out.integrity(key.expose());
    return copy_of(*out.finish());
  }
};

class World {
 public:
  explicit World(std::uint64_t seed = 1, controller::Options options = {})
      : random(seed),
        identity(crypto::generate_key_pair(random)),
        controller(std::move(options), identity, random, Log{log, "controller"}, now, wall()) {
    second.v4 = at("198.51.100.31:3478");
    second.v6 = at("[2001:db8:51::31]:3478");
  }

  static constexpr std::int64_t kUnixStart = 1'790'000'000;
  [[nodiscard]] WallTime wall() const {
    return WallTime{std::chrono::seconds{kUnixStart} + (now - Instant{})};
  }

  void portal_says(portal::Ingress message) {
    controller.on_portal(std::move(message), now, wall());
    settle();
  }
  void init(bool with_authorizations = true) {
    portal::Init message{ip("100.71.20.9"),
                         ip("fd00:2021:1111::9:14"),
                         {relay.entry(relay_id)},
                         std::nullopt,
                         std::nullopt};
    if (with_authorizations) message.authorizations.emplace();
    portal_says(std::move(message));
  }

  // Drains all outputs and carries datagrams until nothing moves.
  void settle() {
    for (int round = 0; round < 200; ++round) {
      bool any = false;
      while (auto out = controller.poll_datagram()) {
        any = true;
        carry(*out);
      }
      while (auto out = controller.poll_command()) {
        any = true;
        record(std::move(out->command));
      }
      while (auto out = controller.poll_portal()) {
        any = true;
        if (auto* egress = std::get_if<portal::Egress>(&*out)) said.push_back(std::move(*egress));
      }
      while (auto out = controller.poll_interface()) interfaces.push_back(*out);
      while (auto out = controller.poll_flow_log_news()) flow_log_news.push_back(*out);
      if (auto lines = controller.poll_reachable()) reachable = std::move(*lines);
      while (auto out = controller.poll_query()) queries.push_back(*out);
      if (!any) return;
    }
    ADD_FAILURE() << "never settles";
  }

  // Moves time from wake-up to wake-up, never past `by`.
  void advance(Duration by) {
    const auto end = now + by;
    for (int steps = 0; steps < 20'000; ++steps) {
      const auto due = controller.wakeup();
      if (!due || due->at > end) {
        now = end;
        return;
      }
      now = std::max(now, due->at);
      controller.on_timeout(now, wall());
      settle();
      if (on_step) on_step();
    }
    ADD_FAILURE() << "busy loop";
  }

  // A datagram for the gateway.
  void deliver(const SocketAddress& from, const SocketAddress& to, Bytes bytes) {
    if (worker && worker(from, to, bytes)) return;
    pipeline::Punt punt;
    punt.local = to;
    punt.from = from;
    punt.length = static_cast<std::uint16_t>(bytes.size());
    std::copy(bytes.begin(), bytes.end(), punt.bytes.begin());
    controller.on_punt(punt, now, wall());
  }

  template <class T>
  [[nodiscard]] std::vector<const T*> all_said() const {
    std::vector<const T*> out;
    for (const auto& message : said) {
      if (const auto* value = std::get_if<T>(&message)) out.push_back(value);
    }
    return out;
  }
  template <class T>
  [[nodiscard]] std::vector<const T*> commanded() const {
    std::vector<const T*> out;
    for (const auto& command : commands) {
      if (const auto* value = std::get_if<T>(&command)) out.push_back(value);
    }
    return out;
  }
  [[nodiscard]] const filter::Policy* newest_policy(ClientSlot slot) const {
    const filter::Policy* out = nullptr;
    for (const auto& command : commands) {
      if (const auto* add = std::get_if<pipeline::AddClient>(&command);
          add != nullptr && add->slot == slot)
        out = add->policy;
      if (const auto* set = std::get_if<pipeline::SetPolicy>(&command);
          set != nullptr && set->slot == slot)
        out = set->policy;
    }
    return out;
  }

  QuietLog log;
  SeededRandom random;
  Instant now{std::chrono::hours{1}};
  wireguard::Identity identity;
  FakeRelay relay;
  FakeRelay second;  // listed by the tests that want it
  RelayId relay_id = *RelayId::parse("4a7e0b9d-5c21-4f38-86ad-d3f9172c6e50");
  SocketAddress host_v4 = at("198.51.100.10:52625");
  SocketAddress host_v6 = at("[2001:db8:51::10]:52625");
  // Where datagrams for other hosts go.
  std::function<void(const controller::Datagram&)> to_client;
  std::function<void()> on_step;
  // Sees every command first, and what it takes of the datagrams the controller does not get.
  std::function<void(pipeline::Command&)> on_command;
  std::function<bool(const SocketAddress& from, const SocketAddress& to, Bytes bytes)> worker;

  std::vector<portal::Egress> said;
  std::vector<pipeline::Command> commands;
  std::vector<controller::SetInterface> interfaces;
  std::vector<controller::FlowLogNews> flow_log_news;
  std::vector<std::string> reachable;
  std::vector<dns::Resolutions::Query> queries;
  controller::Controller controller;

 private:
  void record(pipeline::Command command) {
    if (on_command) on_command(command);
    if (const auto* removed = std::get_if<pipeline::RemoveClient>(&command)) {
      controller.on_event(pipeline::ClientRemoved{removed->slot}, now, wall());
    }
    commands.push_back(std::move(command));
  }
  void carry(const controller::Datagram& out) {
    for (auto* asked : {&relay, &second}) {
      const bool v4 = out.to == asked->v4;
      if (!v4 && out.to != asked->v6) continue;
      const auto source = v4 ? host_v4 : host_v6;
      if (const auto answer = asked->answer(source, out.bytes)) deliver(out.to, source, *answer);
      return;
    }
    if (to_client) to_client(out);
  }
};

}  // namespace fg::test
