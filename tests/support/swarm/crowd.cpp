#include "tests/support/swarm/crowd.h"

#include <algorithm>

#include "runtime/clock.h"

namespace fg::swarm {
namespace {

constexpr const char* kResource = "c2a9e4d7-0b35-4f18-92c6-5d71f3e8ab04";
constexpr Duration kAskAgain = 2s;  // of clients while nobody answers, spec portal 2.5
constexpr Duration kGiveUp = 20s;   // likewise, spec connectivity 8.2

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
          io_, options_.listen, options_.generation, [this] { on_joined(); },
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
  std::vector<Grant> grants;
  for (const auto& [number, member] : members_)
    if (member.is_let_in) grants.push_back({member.client->id(), kResource});
  portal_.send("init", init_payload(portal_.generation(), relays(), grants));
  joined_ = now_;
}

Json Crowd::relays() const {
  return Json::array(
      {relay_entry({options_.listen.ip, Relay::kPort}, Relay::kUsername, Relay::kPassword)});
}

void Crowd::on_message(const std::string& event, const Json& payload) {
  const auto number_of = [](const std::string& id) {
    return static_cast<std::uint32_t>(std::stoul(id.substr(id.size() - 8), nullptr, 16));
  };
  if (const auto agreed = agreement(event, payload)) {
    if (auto* known = find(number_of(agreed->reference))) on_agreed(*known, *agreed);
  } else if (event == "no_relays") {
    portal_.send("relays_presence", {{"disconnected_ids", Json::array()}, {"connected", relays()}});
  } else if (event == "broadcast_ice_candidates") {
    for (const auto& id : payload.at("client_ids")) {
      if (auto* known = find(number_of(id))) {
        known->client->on_candidates(payload.at("candidates"), now_);
        serve(*known);
      }
    }
  }
}

// Once for each connection the gateway makes: the answer to a question asked twice may come twice.
void Crowd::on_agreed(Member& member, const Agreement& agreed) {
  if (!member.is_let_in) {
    ++agreed_;
    member.client->on_let_in(agreed.gateway, now_);
    (void)dispatch_.add(member.client->ours().ufrag, member.client->theirs().ufrag,
                        member.client->place().number);
  }
  member.is_let_in = true;
  portal_.send("ice_candidates", member.client->candidates());
  serve(member);
}

void Crowd::let_in(const Place& place) {
  auto& added = members_[place.number];
  added.client = std::make_unique<Client>(place, portal_.gateway_key(), engine_, random_, now_);
  added.asked_first = now_;
  ++asked_;
  ask(added);
  reschedule(added);
}

void Crowd::ask(Member& member) {
  member.asked_last = now_;
  auto [event, payload] =
      authorization(portal_.generation(), member.client->introduction(portal_.generation()),
                    resource_for(options_.resource));
  portal_.send(event, std::move(payload));
}

// A makes another connection of each request, and has no reason to leave one unanswered.
void Crowd::ask_again(Member& member) {
  if (now_ - member.asked_first >= kGiveUp) return member.client->give_up();
  if (now_ - member.asked_last < kAskAgain) return;
  member.asked_last = now_;
  if (portal_.generation() != Generation::a) ask(member);
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

void Crowd::on_datagram(MutableBytes datagram, const SocketAddress& from,
                        std::optional<std::uint32_t> whose) {
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
  if (!type || (type == wireguard::MessageType::initiation && !whose)) return;
  const std::size_t at = type == wireguard::MessageType::response ? 8 : 4;
  const bool is_initiation = type == wireguard::MessageType::initiation;
  if (auto* known = find(is_initiation ? *whose : load_le32(datagram.data() + at) >> 8)) {
    known->client->on_wireguard(datagram, from, now_);
    serve(*known);
  }
}

void Crowd::serve(Member& one) {
  if (is_waiting(one))
    ask_again(one);
  else
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
  auto wake =
      is_waiting(one) ? Wakeup{one.asked_last + kAskAgain, "asks again"} : one.client->wakeup();
  if (one.again) wake = earlier(wake, Wakeup{*one.again, "owner"});
  if (!wake) return;
  one.due = wake->at;
  deadlines_.insert({wake->at, number});
}

Json Crowd::progress() const {
  const auto count = [&](auto holds) {
    return std::ranges::count_if(members_, [&](const auto& m) { return holds(*m.second.client); });
  };
  const auto& heard = portal_.heard();
  const auto& relay = relay_.counts();
  return {{"portal",
           {{"connections", heard.connections},
            {"refused", heard.refused},
            {"not understood", heard.not_understood},
            {"path", heard.path},
            {"agent", heard.agent},
            {"generation", letter_of(portal_.generation())},
            {"joined", joined_.has_value()},
            {"heard", heard.events}}},
          {"relay",
           {{"bindings", relay.bindings},
            {"challenges", relay.challenges},
            {"allocations", relay.allocations},
            {"channels", relay.channels}}},
          {"clients",
           {{"asked", asked_},
            {"let in", agreed_},
            {"know where it is", count([](const Client& c) { return c.has_candidates(); })},
            {"have a path", count([](const Client& c) { return c.remote().has_value(); })},
            {"have a session", count([](const Client& c) { return c.has_session(); })},
            {"failed", failed_}}}};
}

Member* Crowd::find(std::uint32_t number) {
  const auto found = members_.find(number);
  return found == members_.end() ? nullptr : &found->second;
}

}  // namespace fg::swarm
