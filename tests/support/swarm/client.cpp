#include "tests/support/swarm/client.h"

#include <algorithm>
#include <cstdio>

#include "crypto/random.h"
#include "packet/control_message.h"
#include "packet/inner.h"
#include "tests/support/packets.h"

namespace fg::swarm {
namespace {

constexpr std::uint16_t kEchoFrom = 40'000;

std::string id_of(std::uint32_t number) {
  std::array<char, 37> text{};
  std::snprintf(text.data(), text.size(), "5a5a5a5a-0000-4000-8000-%012x", number);
  return text.data();
}
IpAddress tunnel6_of(std::uint32_t number) {
  auto ip = IpAddress::parse("fd00:2021:1111::")->raw();
  store_be32(ip.data() + 12, 0x10000U + number);
  return IpAddress::v6(ip);
}

Secret<32> random_secret(Random& random) {
  Secret<32> out;
  random.fill(out.expose_mutable());
  return out;
}

ice::Agent::Options agent_options(const ice::Credentials& ours, const ice::Credentials& theirs) {
  ice::Agent::Options out;
  out.role = ice::Role::controlling;
  out.local = ours;
  out.remote = theirs;
  out.profile = ice::kClientDefault;
  return out;
}

client::PeerConfig peer_config(std::uint32_t number, const std::string& gateway_key,
                               const Secret<32>& preshared) {
  client::PeerConfig out;
  const auto key = decode_base64(gateway_key);
  if (key && key->size() == 32) std::copy_n(key->begin(), 32, out.handshake.remote.begin());
  out.handshake.preshared = preshared.copy();
  out.handshake.index_base = ReceiverIndex{number << 8};
  return out;
}

}  // namespace

// 100.64.0.0/11 holds two million (spec policy 1.1); the first few are the gateway's and its kin's.
IpAddress tunnel_of(std::uint32_t number) {
  std::array<std::uint8_t, 4> ip;
  store_be32(ip.data(), 0x64410000U + number);
  return IpAddress::from_bytes(ip);
}

Client::Client(const Place& place, const std::string& gateway_key, crypto::AeadEngine& engine,
               Random& random, Instant now, std::optional<SocketAddress> gateway)
    : place_(place),
      gateway_(gateway),
      id_(id_of(place.number)),
      tunnel_(tunnel_of(place.number)),
      identity_(crypto::generate_key_pair(random)),
      preshared_(gateway ? Secret<32>{} : random_secret(random)),
      ours_(ice::generate_credentials(random)),
      theirs_(ice::generate_credentials(random)),
      peer_(identity_, peer_config(place.number, gateway_key, preshared_), engine, random, now),
      random_(random),
      active_(now) {}

Introduction Client::introduction(Generation generation) const {
  return {.id = id_,
          .public_key = base64(identity_.public_key()),
          .preshared_key = base64(preshared_.expose()),
          .ipv4 = tunnel_,
          .ipv6 = tunnel6_of(place_.number),
          .client = ours_,
          .gateway = generation == Generation::a ? std::nullopt : std::optional{theirs_}};
}

void Client::on_let_in(const std::optional<ice::Credentials>& theirs, Instant now) {
  if (theirs) theirs_ = *theirs;
  agent_.emplace(agent_options(ours_, theirs_), random_, now);
  (void)agent_->add_local(ice::LocalAddress::host(place_.address), now);
}

Json Client::candidates() const {
  Json lines = Json::array();
  for (const auto& candidate : agent_->local_candidates())
    lines.push_back(agent_->line_of(candidate));
  return {{"client_id", id_}, {"candidates", lines}};
}

void Client::on_candidates(const Json& lines, Instant now) {
  if (!agent_) return;
  for (const auto& line : lines) {
    if (agent_->add_remote(line.get<std::string>(), now).is_accepted()) has_candidates_ = true;
  }
}

void Client::on_check(const stun::Message& message, const SocketAddress& from, Instant now) {
  if (agent_) (void)agent_->on_message(message, place_.address, from, now);
}

void Client::on_wireguard(MutableBytes message, const SocketAddress& from, Instant now) {
  if (wireguard::classify(message) != wireguard::MessageType::data) {
    peer_.on_message(message, from.ip, now);
    return;
  }
  const auto opened = peer_.open(message, now);
  if (opened.inner.empty()) return;
  const auto packet = packet::InnerPacket::parse(opened.inner);
  if (!packet || packet->proto_class().kind != packet::ProtoClass::Kind::udp) return;
  if (opened.inner.size() < 32) return;
  echoed_.push_back({load_be32(opened.inner.data() + 28)});
}

void Client::on_timeout(Instant now, WallTime wall) {
  if (agent_) agent_->on_timeout(now);
  peer_.on_timeout(now, wall);
  if (!is_idle_ && agent_ && agent_->is_connected() && now - active_ >= kIdleAfter) {
    is_idle_ = true;
    agent_->set_profile(ice::kClientIdle, now);
  }
  pump(now, wall);
}

void Client::pump(Instant now, WallTime wall) {
  if (agent_) pump_agent(now, wall);
  while (auto event = peer_.poll_event()) {
    if (*event == client::Peer::Event::established)
      session_since_ = now;
    else if (!is_plain())
      has_failed_ = true;
  }
  while (auto message = peer_.poll_message()) send(std::move(*message));
}

void Client::pump_agent(Instant now, WallTime wall) {
  while (auto out = agent_->poll_transmit()) {
    if (!out->relayed) outgoing_.push_back({out->remote, std::move(out->bytes), out->transaction});
  }
  while (auto event = agent_->poll_event()) {
    if (std::holds_alternative<ice::Nominated>(*event) && !has_session())
      peer_.start_handshake(now, wall);
    if (std::holds_alternative<ice::Failed>(*event)) has_failed_ = true;
  }
}

void Client::send(ByteVector message) {
  if (const auto to = remote()) outgoing_.push_back({*to, std::move(message), std::nullopt});
}

std::optional<SocketAddress> Client::remote() const {
  if (gateway_) return gateway_;
  if (!agent_ || !agent_->nominated()) return std::nullopt;
  return agent_->nominated()->remote;
}

void Client::shake_hands(Instant now, WallTime wall) {
  peer_.start_handshake(now, wall);
  pump(now, wall);
}

void Client::send_keepalive(Instant now, WallTime wall) {
  peer_.send_keepalive(now);
  pump(now, wall);
}

bool Client::seal(std::uint8_t* message, std::size_t length, Instant now) {
  become_active(now);
  return peer_.seal(message, length, now);
}

MutableBytes Client::open(MutableBytes message, Instant now) {
  return peer_.open(message, now).inner;
}

void Client::become_active(Instant now) {
  active_ = now;
  if (!is_idle_) return;
  is_idle_ = false;
  if (agent_) agent_->set_profile(ice::kClientDefault, now);
}

bool Client::send_inner(Bytes inner, Instant now) {
  ByteVector message(packet::kDataHeader + inner.size() + packet::kDataTag);
  std::ranges::copy(inner, message.begin() + packet::kDataHeader);
  if (!peer_.seal(message.data(), inner.size(), now)) return false;
  send(std::move(message));
  return true;
}

bool Client::request(const SocketAddress& to, std::uint32_t sequence, Instant now) {
  ByteVector payload(64);
  store_be32(payload.data(), sequence);
  become_active(now);
  return send_inner(
      test::udp().from(tunnel_, kEchoFrom).to(to.ip, to.port).payload(std::move(payload)).build(),
      now);
}

void Client::say_goodbye(Instant now) { (void)send_inner(packet::goodbye_packet(), now); }

std::optional<Outgoing> Client::poll_outgoing() {
  if (outgoing_.empty()) return std::nullopt;
  auto out = std::move(outgoing_.front());
  outgoing_.pop_front();
  return out;
}

std::optional<Echoed> Client::poll_echoed() {
  if (echoed_.empty()) return std::nullopt;
  const auto out = echoed_.front();
  echoed_.pop_front();
  return out;
}

std::optional<Wakeup> Client::wakeup() const {
  if (!agent_) return peer_.wakeup();
  auto out = earlier(agent_->wakeup(), peer_.wakeup());
  if (!is_idle_ && agent_->is_connected()) out = earlier(out, Wakeup{active_ + kIdleAfter, "idle"});
  return out;
}

}  // namespace fg::swarm
