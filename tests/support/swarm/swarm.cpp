#include "tests/support/swarm/swarm.h"

#include <poll.h>

#include <algorithm>
#include <cstdio>
#include <stdexcept>

#include "runtime/clock.h"

namespace fg::swarm {
namespace {

constexpr std::size_t kClientSockets = 16;
constexpr Duration kAskAgain = 1s;
constexpr int kWaitMs = 2;
constexpr const char* kResource = "c2a9e4d7-0b35-4f18-92c6-5d71f3e8ab04";

Json resource_for(const IpAddress& ip) {
  return {{"type", "cidr"},
          {"id", kResource},
          {"name", "echo"},
          {"address", ip.to_string() + "/32"},
          {"filters", Json::array()}};
}

double seconds_of(Duration d) { return std::chrono::duration<double>(d).count(); }

}  // namespace

Swarm::Swarm(Options options)
    : options_(std::move(options)),
      portal_(
          io_, options_.listen, [this] { on_joined(); },
          [this](const std::string& event, const Json& payload) { on_message(event, payload); }),
      relay_(options_.listen.ip),
      now_(runtime::monotonic_now()),
      wall_(runtime::wall_now()) {
  for (std::size_t i = 0; i <= kClientSockets; ++i) {
    auto opened = client::Sockets::open(i == 0 ? Relay::kPort : std::uint16_t{0}, 0);
    if (!opened) throw std::runtime_error(opened.error().to_string());
    sockets_.push_back(std::move(*opened));
  }
}

void Swarm::run(const volatile int& stop) {
  std::puts("{\"event\": \"listening\"}");
  std::fflush(stdout);
  const auto is_over = [&] {
    return stop != 0 ||
           (complete_ && options_.seconds > 0 && seconds_of(now_ - *complete_) > options_.seconds);
  };
  while (!is_over()) turn();
  report("end");
}

void Swarm::turn() {
  std::vector<pollfd> fds;
  for (const auto& sockets : sockets_) {
    for (const int fd : sockets.fds()) fds.push_back({fd, POLLIN, 0});
  }
  (void)::poll(fds.data(), fds.size(), kWaitMs);
  now_ = runtime::monotonic_now();
  wall_ = runtime::wall_now();
  io_.poll();
  io_.restart();
  receive();
  while (!deadlines_.empty() && deadlines_.begin()->first <= now_) {
    const auto number = deadlines_.begin()->second;
    deadlines_.erase(deadlines_.begin());
    auto& due = members_.at(number);
    due.due.reset();
    serve(due);
  }
  if (!joined_) return;
  while (tally_.let_in < options_.clients &&
         static_cast<double>(tally_.let_in) < seconds_of(now_ - *joined_) * options_.rate + 1) {
    let_in();
  }
  ask();
  if (!complete_ && tally_.served >= options_.clients) {
    complete_ = now_;
    report("complete");
  }
  replace_some();
}

// ---- portal ----

void Swarm::on_joined() {
  const auto relay = Json{{"id", "4a7e0b9d-5c21-4f38-86ad-d3f9172c6e50"},
                          {"type", "turn"},
                          {"addr", SocketAddress{options_.listen.ip, Relay::kPort}.to_string()},
                          {"username", Relay::kUsername},
                          {"password", Relay::kPassword},
                          {"expires_at", 2'145'916'800}};
  portal_.send("init",
               {{"interface", {{"ipv4", "100.64.0.1"}, {"ipv6", "fd00:2021:1111::1"}}},
                {"config", {{"ipv4_masquerade_enabled", true}, {"ipv6_masquerade_enabled", true}}},
                {"relays", Json::array({relay})}});
  joined_ = now_;
}

void Swarm::on_message(const std::string& event, const Json& payload) {
  const auto number_of = [](const std::string& id) {
    return static_cast<std::uint32_t>(std::stoul(id.substr(id.size() - 8), nullptr, 16));
  };
  if (event == "flow_authorized") {
    if (auto* known = member(number_of(payload.at("ref")))) {
      portal_.send("ice_candidates", known->client->candidates());
      known->is_let_in = true;
      serve(*known);
    }
  } else if (event == "broadcast_ice_candidates") {
    for (const auto& id : payload.at("client_ids")) {
      if (auto* known = member(number_of(id))) {
        known->client->on_candidates(payload.at("candidates"), now_);
        serve(*known);
      }
    }
  }
}

void Swarm::let_in() {
  const auto number = next_number_++;
  const auto& by = sockets_[1 + number % kClientSockets];
  auto& added = members_[number];
  added.client = std::make_unique<Client>(Place{number, {options_.listen.ip, by.port()}},
                                          portal_.gateway_key(), engine_, random_, now_);
  (void)dispatch_.add(added.client->ours().ufrag, added.client->theirs().ufrag, number);
  portal_.send("authorize_flow", added.client->authorization(resource_for(options_.echo.ip)));
  ++tally_.let_in;
}

void Swarm::forget(std::uint32_t number) {
  auto& gone = members_.at(number);
  (void)dispatch_.remove(gone.client->ours().ufrag, gone.client->theirs().ufrag, number);
  if (gone.due) deadlines_.erase({*gone.due, number});
  members_.erase(number);
}

// The oldest but the steady one say goodbye, others come.
void Swarm::replace_some() {
  if (!complete_ || options_.churn <= 0) return;
  while (static_cast<double>(tally_.left) < seconds_of(now_ - *complete_) * options_.churn) {
    const auto oldest = std::next(members_.begin());
    if (oldest == members_.end()) return;
    oldest->second.client->say_goodbye(now_);
    drain(oldest->second);
    forget(oldest->first);
    ++tally_.left;
    let_in();
  }
}

// ---- datagrams ----

void Swarm::receive() {
  for (auto& sockets : sockets_) {
    for (const int fd : sockets.fds()) {
      for (auto received = sockets.receive(fd); !received.empty(); received = sockets.receive(fd)) {
        for (auto& run : received) {
          auto rest = run.bytes;
          while (!rest.empty()) {
            const auto one = rest.first(std::min<std::size_t>(rest.size(), run.segment));
            rest = rest.subspan(one.size());
            on_datagram(one, run.from, run.local);
          }
        }
      }
    }
  }
}

void Swarm::on_datagram(MutableBytes datagram, const SocketAddress& from,
                        const SocketAddress& local) {
  if (local.port == Relay::kPort) {
    if (const auto answer = relay_.answer(datagram, from)) send(from, *answer, sockets_[0]);
    return;
  }
  std::optional<std::uint32_t> number;
  if (const auto message = stun::Message::parse(datagram)) {
    if (message->is(stun::Method::binding, stun::Class::request)) {
      const auto found = dispatch_.find(message->username().value_or(""));
      if (!found.empty()) number = found.front();
    } else {
      number = dispatch_.take(message->transaction(), now_);
    }
    if (auto* known = number ? member(*number) : nullptr) {
      known->client->on_check(*message, from, now_);
      serve(*known);
    }
    return;
  }
  const auto type = wireguard::classify(datagram);
  // An initiation of the gateway names no session; clients of the swarm never need one.
  if (!type || type == wireguard::MessageType::initiation) return;
  const std::size_t at = type == wireguard::MessageType::response ? 8 : 4;
  if (auto* known = member(load_le32(datagram.data() + at) >> 8)) {
    known->client->on_wireguard(datagram, from, now_);
    serve(*known);
  }
}

void Swarm::serve(Member& one) {
  one.client->on_timeout(now_, wall_);
  if (one.client->has_failed()) {
    ++tally_.failed;
    const auto number = one.client->place().number;
    forget(number);
    return;
  }
  if (one.client->has_session() && !one.is_served &&
      (!one.asked || *one.asked + kAskAgain <= now_)) {
    if (!one.asked) ++tally_.sessions;
    one.asked = now_;
    (void)one.client->request(options_.echo, 0, now_);
    one.client->on_timeout(now_, wall_);
  }
  drain(one);
  reschedule(one);
}

void Swarm::drain(Member& one) {
  while (auto out = one.client->poll_outgoing()) {
    if (out->check) dispatch_.on_check_sent(*out->check, one.client->place().number, now_);
    send(out->to, out->bytes, socket_of(*one.client));
  }
  while (const auto echoed = one.client->poll_echoed()) {
    if (!one.is_served) {
      one.is_served = true;
      ++tally_.served;
    }
    if (const auto sent = outstanding_.extract(echoed->sequence); !sent.empty()) {
      ++tally_.answers;
      tally_.milliseconds.push_back(seconds_of(now_ - sent.mapped()) * 1e3);
    }
  }
}

void Swarm::reschedule(Member& one) {
  const auto number = one.client->place().number;
  if (one.due) deadlines_.erase({*one.due, number});
  one.due.reset();
  if (!one.is_let_in) return;
  auto wake = one.client->wakeup();
  if (one.asked && !one.is_served) wake = earlier(wake, Wakeup{*one.asked + kAskAgain, "ask"});
  if (!wake) return;
  one.due = wake->at;
  deadlines_.insert({wake->at, number});
}

// ---- the steady client ----

void Swarm::ask() {
  if (options_.steady <= 0 || members_.empty()) return;
  if (options_.calm > 0 && complete_ && seconds_of(now_ - *complete_) > options_.calm) return;
  auto& first = members_.begin()->second;
  if (!first.is_served) return;
  static const Instant since = now_;
  while (static_cast<double>(tally_.requests) < seconds_of(now_ - since) * options_.steady) {
    ++tally_.requests;
    outstanding_[next_sequence_] = now_;
    (void)first.client->request(options_.echo, next_sequence_++, now_);
  }
  serve(first);
}

void Swarm::send(const SocketAddress& to, Bytes bytes, client::Sockets& by) {
  const OutgoingDatagrams one{
      .to = to, .from = {}, .segment = static_cast<std::uint16_t>(bytes.size()), .bytes = bytes};
  by.send({&one, 1});
}

client::Sockets& Swarm::socket_of(const Client& client) {
  return sockets_[1 + client.place().number % kClientSockets];
}

Swarm::Member* Swarm::member(std::uint32_t number) {
  const auto found = members_.find(number);
  return found == members_.end() ? nullptr : &found->second;
}

void Swarm::report(const char* what) {
  auto sorted = tally_.milliseconds;
  std::ranges::sort(sorted);
  const auto at = [&](double part) {
    return sorted.empty()
               ? 0.0
               : sorted[static_cast<std::size_t>(part * static_cast<double>(sorted.size() - 1))];
  };
  std::uint64_t late = 0;  // younger ones may still be answered
  for (const auto& [sequence, sent] : outstanding_) late += now_ - sent > 1s ? 1U : 0U;
  std::printf(
      "{\"event\": \"%s\", \"seconds\": %.2f, \"let_in\": %lu, \"sessions\": %lu, \"served\": %lu, "
      "\"failed\": %lu, \"left\": %lu, \"requests\": %lu, \"answers\": %lu, \"lost\": %lu, "
      "\"median_ms\": %.2f, \"p99_ms\": %.2f, \"worst_ms\": %.2f}\n",
      what, joined_ ? seconds_of(now_ - *joined_) : 0.0, tally_.let_in, tally_.sessions,
      tally_.served, tally_.failed, tally_.left, tally_.requests, tally_.answers, late, at(0.5),
      at(0.99), at(1.0));
  std::fflush(stdout);
}

}  // namespace fg::swarm
