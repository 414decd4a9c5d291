// A client and a gateway in one process, joined by a wire with latency, loss and a NAT, in virtual
// time; a portal without delay between them.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <vector>

#include "control/ice/dispatch.h"
#include "support.h"

namespace fg::ice::testing {

struct Packet {
  bool to_gateway = false;
  SocketAddress from;
  SocketAddress to;
  ByteVector bytes;
};

struct Sent {
  Instant at;
  bool by_gateway = false;
  SocketAddress local;
  SocketAddress remote;
  bool is_check = false;
  bool use_candidate = false;
};

class World : public ::testing::Test {
 protected:
  World() {
    client_.add_local(LocalAddress::host(client_host_), now_);
    gateway_.add_local(LocalAddress::host(gateway_host_), now_);
  }

  // The portal, without delay: all lines of one side to the other.
  void signal(const Agent& from, Agent& to) {
    for (const auto& candidate : from.local_candidates())
      to.add_remote(from.line_of(candidate), now_);
  }
  void signal_both() {
    signal(client_, gateway_);
    signal(gateway_, client_);
  }

  void run_for(Duration duration) {
    const auto end = now_ + duration;
    drain(client_, false);
    drain(gateway_, true);
    for (int i = 0; i < 200000; ++i) {
      std::optional<Instant> next;
      const auto consider = [&next](Instant at) { next = next ? std::min(*next, at) : at; };
      if (!wire_.empty()) consider(wire_.begin()->first);
      if (const auto wakeup = client_.wakeup()) consider(wakeup->at);
      if (const auto wakeup = gateway_.wakeup()) consider(wakeup->at);
      if (!next || *next > end) {
        now_ = end;
        return;
      }
      ASSERT_GE(*next, now_);
      now_ = *next;
      step();
    }
    FAIL() << "never idle";
  }

  void step() {
    if (!wire_.empty() && wire_.begin()->first <= now_) {
      const auto packet = std::move(wire_.begin()->second);
      wire_.erase(wire_.begin());
      deliver(packet);
    } else {
      for (auto* agent : {&client_, &gateway_}) {
        const auto wakeup = agent->wakeup();
        if (wakeup && wakeup->at <= now_) agent->on_timeout(now_);
      }
    }
    drain(client_, false);
    drain(gateway_, true);
  }

  void deliver(const Packet& packet) {
    const auto message = stun::Message::parse(packet.bytes);
    ASSERT_TRUE(message);
    auto& agent = packet.to_gateway ? gateway_ : client_;
    auto& dispatch = packet.to_gateway ? gateway_dispatch_ : client_dispatch_;
    if (message->is(stun::Method::binding, stun::Class::success) &&
        !dispatch.take(message->transaction(), now_)) {
      ++unknown_responses_;
      return;
    }
    (void)agent.on_message(*message, packet.to, packet.from, now_);
  }

  void drain(Agent& agent, bool is_gateway) {
    while (auto event = agent.poll_event()) {
      if (const auto* nominated = std::get_if<Nominated>(&*event)) {
        (is_gateway ? gateway_paths_ : client_paths_).push_back(nominated->path);
      }
      if (is_gateway) note(*event);
      if (std::holds_alternative<Failed>(*event))
        (is_gateway ? gateway_failed_at_ : client_failed_at_) = now_;
    }
    while (auto transmit = agent.poll_transmit()) {
      if (transmit->transaction) {
        (is_gateway ? gateway_dispatch_ : client_dispatch_)
            .on_check_sent(*transmit->transaction, 1, now_);
      }
      const auto message = stun::Message::parse(transmit->bytes);
      ASSERT_TRUE(message);
      sent_.push_back({now_, is_gateway, transmit->local, transmit->remote,
                       transmit->transaction.has_value(), message->use_candidate()});
      Packet packet{!is_gateway, transmit->local, transmit->remote, std::move(transmit->bytes)};
      if (nat_ && !nat_(packet)) continue;
      if (lost_ && lost_(packet)) continue;
      wire_.emplace(now_ + latency_, std::move(packet));
    }
  }

  // What the gateway's owner does with it.
  void note(const AgentEvent& event) {
    if (std::holds_alternative<Unheard>(event)) unheard_.push_back(now_);
    const auto* told = std::get_if<Reconsidered>(&event);
    if (told == nullptr) return;
    reconsidered_.emplace_back(now_, *told);
    for (const auto& candidate : told->candidates) {
      const auto line = gateway_.line_of(candidate);
      if (told->is_withdrawn)
        client_.invalidate_remote(line, now_);
      else
        client_.add_remote(line, now_);
    }
  }

  [[nodiscard]] std::vector<Duration> gaps(bool by_gateway, const SocketAddress& remote) const {
    std::vector<Duration> out;
    std::optional<Instant> last;
    for (const auto& sent : sent_) {
      if (sent.by_gateway != by_gateway || !sent.is_check || sent.remote != remote) continue;
      if (last) out.push_back(sent.at - *last);
      last = sent.at;
    }
    return out;
  }

  SeededRandom random_{1};
  Instant now_ = kStart;
  Agent client_{client_options(), random_, kStart};
  Agent gateway_{gateway_options(), random_, kStart};
  Dispatch<int> client_dispatch_;
  Dispatch<int> gateway_dispatch_;
  Duration latency_ = 10ms;
  std::function<bool(const Packet&)> lost_;
  std::function<bool(Packet&)> nat_;  // rewrites; false: not let through
  std::multimap<Instant, Packet> wire_;
  std::vector<Sent> sent_;
  std::vector<Path> client_paths_;
  std::vector<Path> gateway_paths_;
  std::optional<Instant> client_failed_at_;
  std::optional<Instant> gateway_failed_at_;
  std::vector<std::pair<Instant, Reconsidered>> reconsidered_;  // by the gateway
  std::vector<Instant> unheard_;
  int unknown_responses_ = 0;

  const SocketAddress client_host_ = at("192.0.2.20:52625");
  const SocketAddress gateway_host_ = at("192.0.2.10:52625");
};

}  // namespace fg::ice::testing
