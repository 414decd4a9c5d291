// A whole client in memory: ICE in the controlling role and a WireGuard peer, against the
// controller.
#pragma once

#include <gtest/gtest.h>

#include <optional>
#include <utility>
#include <vector>

#include "control/ice/agent.h"
#include "packet/demux.h"
#include "pipeline/standing_answers.h"
#include "tests/unit/control/controller/world.h"
#include "wireguard/tunnel.h"

namespace fg::test {

// A worker between clients and controller as far as repeated checks go: it tells of them as late as
// a worker may (pipeline/commands.h, CheckAnswered).
class AnsweringWorker {
 public:
  // `to_client` takes what it answers.
  AnsweringWorker(World& the_world, std::function<void(const controller::Datagram&)> to_client)
      : world(the_world) {
    world.on_command = [this](pipeline::Command& command) {
      if (auto* set = std::get_if<pipeline::SetStandingAnswer>(&command)) {
        ASSERT_TRUE(answers.set(std::move(*set)));
      } else if (const auto* drop = std::get_if<pipeline::DropStandingAnswers>(&command)) {
        answers.drop(drop->connection);
        ++taken_back;
      }
    };
    world.worker = [this, to_client = std::move(to_client)](const SocketAddress& from,
                                                            const SocketAddress& to, Bytes bytes) {
      const pipeline::Path path{pipeline::Path::Kind::direct, to.ip, from, {}};
      const auto* found = answers.find(bytes, path, world.now);
      if (found == nullptr) return false;
      ++answered;
      ByteVector out(found->answer.size());
      pipeline::StandingAnswers::write(*found, bytes, out);
      if (news_.empty()) due_ = world.now + 250ms;
      news_.push_back({found->connection, found->pair, found->nominates, world.now});
      to_client({from, to.ip, out});
      return true;
    };
  }
  [[nodiscard]] std::optional<Instant> due() const {
    return news_.empty() ? std::nullopt : std::optional{due_};
  }
  void on_timeout() {
    if (news_.empty() || world.now < due_) return;
    for (const auto& told : std::exchange(news_, {}))
      world.controller.on_event(told, world.now, world.wall());
    world.settle();
  }

  World& world;
  pipeline::StandingAnswers answers;
  std::size_t answered = 0;
  std::size_t taken_back = 0;

 private:
  std::vector<pipeline::CheckAnswered> news_;
  Instant due_;
};

class Client {
 public:
  explicit Client(World& the_world, const char* host = "198.51.100.20:52625")
      : world(the_world),
        address(at(host)),
        identity(crypto::generate_key_pair(world.random)),
        agent(agent_options(), world.random, world.now),
        tunnel(identity, tunnel_config(), engine, world.random, world.now) {
    (void)agent.add_local(ice::LocalAddress::host(address), world.now);
    world.to_client = [this](const controller::Datagram& datagram) { receive(datagram); };
    world.on_step = [this] { step(); };
  }

  [[nodiscard]] portal::Authorize request(const char* ref = "ref-1") const {
    auto out = authorization();
    out.ref = ref;
    out.client.id = id;
    out.client.public_key = identity.public_key();
    out.client.preshared_key = Secret<32>{kPreshared};
    return out;
  }
  // What the portal would do: pass the newest candidates both ways.
  void exchange_candidates() {
    for (const auto* message : world.all_said<portal::BroadcastCandidates>()) {
      for (const auto& line : message->candidates) (void)agent.add_remote(line, world.now);
    }
    portal::IceCandidates ours{id, {}, false};
    for (const auto& candidate : agent.local_candidates())
      ours.candidates.push_back(agent.line_of(candidate));
    world.portal_says(std::move(ours));
  }
  void put_worker_between() {
    worker.emplace(world, [this](const controller::Datagram& datagram) { receive(datagram); });
  }
  void add_second(const char* host) {
    address6 = at(host);
    (void)agent.add_local(ice::LocalAddress::host(*address6), world.now);
  }
  [[nodiscard]] bool is_lost(const SocketAddress& ours) const {
    return is_cut || ours.family() == cut_family;
  }
  void step() {
    agent.on_timeout(world.now);
    tunnel.on_timeout(world.now, world.wall());
    drain();
  }
  void run(Duration by) {
    const auto end = world.now + by;
    while (world.now < end) {
      if (worker) worker->on_timeout();
      step();
      world.settle();
      auto next = end;
      for (const auto& due : {agent.wakeup(), tunnel.wakeup()}) {
        if (due) next = std::min(next, std::max(due->at, world.now + 1ms));
      }
      if (const auto told = worker ? worker->due() : std::nullopt) next = std::min(next, *told);
      world.advance(next - world.now);
    }
  }
  void drain() {
    for (int round = 0; round < 50; ++round) {
      bool any = false;
      while (auto out = agent.poll_transmit()) {
        any = true;
        if (!is_lost(out->local)) world.deliver(out->local, out->remote, out->bytes);
      }
      while (auto event = agent.poll_event()) {
        if (std::holds_alternative<ice::Nominated>(*event))
          tunnel.initiate(world.now, world.wall());
      }
      while (auto out = tunnel.poll_datagram()) {
        any = true;
        sent_handshake = true;
        const auto& way = agent.nominated();
        if (way && !is_lost(way->local)) world.deliver(way->local, way->remote, *out);
      }
      while (auto event = tunnel.poll_event()) events.push_back(*event);
      if (!any) return;
    }
  }
  void receive(const controller::Datagram& datagram) {
    if ((datagram.to != address && datagram.to != address6) || is_lost(datagram.to)) return;
    const SocketAddress from{*datagram.from, 52625};
    if (packet::classify(datagram.bytes) == packet::DatagramKind::stun) {
      const auto message = stun::Message::parse(datagram.bytes);
      ASSERT_TRUE(message);
      (void)agent.on_message(*message, datagram.to, from, world.now);
    } else {
      tunnel.on_datagram(datagram.bytes, from.ip, world.now);
    }
    drain();
  }

  static constexpr std::array<std::uint8_t, 32> kPreshared{9, 8, 7};
  World& world;
  ClientId id = kClient;
  SocketAddress address;
  std::optional<SocketAddress> address6;
  crypto::AeadEngine engine;
  wireguard::Identity identity;
  ice::Agent agent;
  wireguard::Tunnel tunnel;
  std::vector<wireguard::Tunnel::Event> events;
  std::optional<AnsweringWorker> worker;  // none: every check is the controller's
  bool is_cut = false;
  std::optional<Family> cut_family;
  bool sent_handshake = false;

 private:
  static ice::Agent::Options agent_options() {
    ice::Agent::Options out;
    out.role = ice::Role::controlling;
    out.local = {"277o", SecretText{"b6fvcn2h22ah436p3el3zr"}};
    out.remote = ice::Credentials{"6pya", SecretText{"vvzsh3aql5cprilhk5hpja"}};
    out.profile = ice::kClientDefault;
    return out;
  }
  [[nodiscard]] wireguard::TunnelConfig tunnel_config() const {
    wireguard::TunnelConfig out;
    out.handshake.remote = world.identity.public_key();
    out.handshake.preshared = Secret<32>{kPreshared};
    out.handshake.index_base = ReceiverIndex{0x12345600};
    return out;
  }
};

// One that has connected directly.
class Connected : public ::testing::Test {
 protected:
  void SetUp() override {
    world.init();
    world.portal_says(client.request());
    client.exchange_candidates();
    client.run(2s);
  }
  World world;
  Client client{world};
};

}  // namespace fg::test
