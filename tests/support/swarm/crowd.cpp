#include "tests/support/swarm/crowd.h"

#include "runtime/clock.h"

namespace fg::swarm {
namespace {

constexpr const char* kResource = "c2a9e4d7-0b35-4f18-92c6-5d71f3e8ab04";

Json resource_for(const IpAddress& ip) {
  return {{"type", "cidr"},
          {"id", kResource},
          {"name", "echo"},
          {"address", ip.to_string() + "/32"},
          {"filters", Json::array()}};
}

}  // namespace

Crowd::Crowd(Options options, Hooks hooks)
    : options_(std::move(options)),
      hooks_(std::move(hooks)),
      portal_(
          io_, options_.listen, [this] { on_joined(); },
          [this](const std::string& event, const Json& payload) { on_message(event, payload); }),
      relay_(options_.listen.ip),
      now_(runtime::monotonic_now()),
      wall_(runtime::wall_now()) {}

void Crowd::set_time(Instant now, WallTime wall) {
  now_ = now;
  wall_ = wall;
}

void Crowd::poll() {
  io_.poll();
  io_.restart();
}

void Crowd::serve_due() {
  while (!deadlines_.empty() && deadlines_.begin()->first <= now_) {
    const auto number = deadlines_.begin()->second;
    deadlines_.erase(deadlines_.begin());
    auto& due = members_.at(number);
    due.due.reset();
    serve(due);
  }
}

std::optional<Instant> Crowd::next() const {
  return deadlines_.empty() ? std::nullopt : std::optional{deadlines_.begin()->first};
}

// ---- portal ----

void Crowd::on_joined() {
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

void Crowd::on_message(const std::string& event, const Json& payload) {
  const auto number_of = [](const std::string& id) {
    return static_cast<std::uint32_t>(std::stoul(id.substr(id.size() - 8), nullptr, 16));
  };
  if (event == "flow_authorized") {
    if (auto* known = find(number_of(payload.at("ref")))) {
      portal_.send("ice_candidates", known->client->candidates());
      known->is_let_in = true;
      serve(*known);
    }
  } else if (event == "broadcast_ice_candidates") {
    for (const auto& id : payload.at("client_ids")) {
      if (auto* known = find(number_of(id))) {
        known->client->on_candidates(payload.at("candidates"), now_);
        serve(*known);
      }
    }
  }
}

void Crowd::let_in(const Place& place) {
  auto& added = members_[place.number];
  added.client = std::make_unique<Client>(place, portal_.gateway_key(), engine_, random_, now_);
  (void)dispatch_.add(added.client->ours().ufrag, added.client->theirs().ufrag, place.number);
  portal_.send("authorize_flow", added.client->authorization(resource_for(options_.resource)));
}

void Crowd::add_peer(const Place& place, const std::string& gateway_key,
                     const SocketAddress& gateway) {
  auto& added = members_[place.number];
  added.client = std::make_unique<Client>(place, gateway_key, engine_, random_, now_, gateway);
}

void Crowd::forget(std::uint32_t number) {
  auto& gone = members_.at(number);
  (void)dispatch_.remove(gone.client->ours().ufrag, gone.client->theirs().ufrag, number);
  if (gone.due) deadlines_.erase({*gone.due, number});
  members_.erase(number);
}

// ---- datagrams ----

void Crowd::on_datagram(MutableBytes datagram, const SocketAddress& from) {
  std::optional<std::uint32_t> number;
  if (const auto message = stun::Message::parse(datagram)) {
    if (message->is(stun::Method::binding, stun::Class::request)) {
      const auto found = dispatch_.find(message->username().value_or(""));
      if (!found.empty()) number = found.front();
    } else {
      number = dispatch_.take(message->transaction(), now_);
    }
    if (auto* known = number ? find(*number) : nullptr) {
      known->client->on_check(*message, from, now_);
      serve(*known);
    }
    return;
  }
  const auto type = wireguard::classify(datagram);
  // An initiation of the gateway names no session; clients of the swarm never need one.
  if (!type || type == wireguard::MessageType::initiation) return;
  const std::size_t at = type == wireguard::MessageType::response ? 8 : 4;
  if (auto* known = find(load_le32(datagram.data() + at) >> 8)) {
    known->client->on_wireguard(datagram, from, now_);
    serve(*known);
  }
}

void Crowd::serve(Member& one) {
  one.client->on_timeout(now_, wall_);
  if (one.client->has_failed()) {
    ++failed_;
    forget(one.client->place().number);
    return;
  }
  if (hooks_.on_turn) {
    hooks_.on_turn(one);
    one.client->on_timeout(now_, wall_);
  }
  drain(one);
  reschedule(one);
}

void Crowd::drain(Member& one) {
  while (auto out = one.client->poll_outgoing()) {
    if (out->check) dispatch_.on_check_sent(*out->check, one.client->place().number, now_);
    hooks_.send(one.client->place(), out->to, out->bytes);
  }
  while (const auto echoed = one.client->poll_echoed()) {
    if (hooks_.on_echoed) hooks_.on_echoed(one, *echoed);
  }
}

void Crowd::reschedule(Member& one) {
  const auto number = one.client->place().number;
  if (one.due) deadlines_.erase({*one.due, number});
  one.due.reset();
  if (!one.is_let_in && !one.client->is_plain()) return;
  auto wake = one.client->wakeup();
  if (one.again) wake = earlier(wake, Wakeup{*one.again, "owner"});
  if (!wake) return;
  one.due = wake->at;
  deadlines_.insert({wake->at, number});
}

Member* Crowd::find(std::uint32_t number) {
  const auto found = members_.find(number);
  return found == members_.end() ? nullptr : &found->second;
}

}  // namespace fg::swarm
