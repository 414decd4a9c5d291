// The whole gateway without its sockets: the controller and two workers' pipelines joined as the
// program joins them, between a portal that says anything, relays that answer or not, and clients
// with real keys. The pipelines call it a bug when they are commanded against their contract, and a
// bug stops this process.
#include <deque>
#include <map>
#include <set>

#include "control/controller/controller.h"
#include "control/stun/builder.h"
#include "control/stun/key.h"
#include "packet/control_message.h"
#include "packet/demux.h"
#include "pipeline/pipeline.h"
#include "tests/fuzz/support.h"
#include "tests/support/packets.h"
#include "wireguard/tunnel.h"

namespace {

using namespace fg;
using controller::Controller;

constexpr std::size_t kClients = 3;
constexpr std::size_t kRelays = 2;
constexpr unsigned kWorkers = 2;

IpAddress tunnel_v4(std::size_t n) {
  return IpAddress::v4(100, 64, 0, static_cast<std::uint8_t>(10 + n));
}
IpAddress v6(std::uint8_t last,
             std::array<std::uint8_t, 6> first = {0xfd, 0x00, 0x20, 0x21, 0x11, 0x11}) {
  std::array<std::uint8_t, 16> bytes{};
  std::ranges::copy(first, bytes.begin());
  bytes[15] = last;
  return IpAddress::v6(bytes);
}
SocketAddress remote(std::size_t n) {
  return {IpAddress::v4(203, 0, 113, static_cast<std::uint8_t>(20 + n)), 52625};
}
SocketAddress server(std::size_t n) {
  return {IpAddress::v4(198, 51, 100, static_cast<std::uint8_t>(30 + n)), 3478};
}
const SocketAddress kHost{IpAddress::v4(192, 0, 2, 10), 52625};

template <class Id>
Id id(std::size_t n) {
  return Id{std::array<std::uint8_t, 16>{1, static_cast<std::uint8_t>(n)}};
}

class Silent final : public LogSink {
 public:
  [[nodiscard]] bool is_enabled(LogLevel /*level*/, std::string_view /*target*/) const override {
    return true;
  }
  void write(LogLevel level, std::string_view /*target*/, std::string_view /*message*/,
             std::span<const LogField> /*fields*/) override {
    FG_LAW(level != LogLevel::error);
  }
};

class Rings final : public pipeline::Output {
 public:
  struct Sent {
    SocketAddress to;
    ByteVector bytes;
  };
  std::deque<Sent> sent;
  std::deque<pipeline::Event> events;
  std::deque<pipeline::Punt> punts;
  std::deque<std::pair<WorkerIndex, pipeline::Handoff>> handoffs;
  std::size_t written = 0;

  void write_tun(const TunWrite& packet) noexcept override { written += packet.packets; }
  void transmit(std::span<const OutgoingDatagrams> batch) noexcept override {
    for (const auto& d : batch) {
      for (std::size_t i = 0; i < d.bytes.size(); i += d.segment) {
        sent.push_back({d.to, copy_of(d.bytes.subspan(
                                  i, std::min<std::size_t>(d.segment, d.bytes.size() - i)))});
      }
    }
  }
  pipeline::Event* reserve_event(bool) noexcept override { return &events.emplace_back(); }
  pipeline::Punt* reserve_punt(pipeline::PuntClass) noexcept override {
    return &punts.emplace_back();
  }
  pipeline::Handoff* reserve_handoff(WorkerIndex to) noexcept override {
    return handoffs.size() < 16 ? &handoffs.emplace_back(to, pipeline::Handoff{}).second : nullptr;
  }
  void publish() noexcept override {}
};

struct Keys {
  SeededRandom random{42};
  wireguard::Identity gateway{crypto::generate_key_pair(random)};
  std::vector<wireguard::Identity> clients = [this] {
    std::vector<wireguard::Identity> out;
    for (std::size_t n = 0; n < kClients; ++n) out.emplace_back(crypto::generate_key_pair(random));
    return out;
  }();
};
const Keys& keys() {
  static const Keys made;
  return made;
}
Secret<32> preshared(std::size_t n) {
  return Secret<32>{std::array<std::uint8_t, 32>{static_cast<std::uint8_t>(7 + n)}};
}

class World {
 public:
  explicit World(Bytes input)
      : choices_(input),
        controller_({.workers = kWorkers, .clients_max = 8, .turn = {}, .left_behind = {}},
                    keys().gateway, random_, Log{log_, "controller"}, now_, wall()) {
    for (std::uint8_t w = 0; w < kWorkers; ++w) {
      workers_.push_back(std::make_unique<Worker>(WorkerIndex{w}, engine_));
    }
    for (std::size_t n = 0; n < kClients; ++n) {
      wireguard::TunnelConfig config;
      config.handshake.remote = keys().gateway.public_key();
      config.handshake.preshared = preshared(n);
      config.handshake.index_base = ReceiverIndex{static_cast<std::uint32_t>(0xC00 + n) << 8};
      tunnels_.push_back(std::make_unique<wireguard::Tunnel>(keys().clients[n], std::move(config),
                                                             engine_, random_, now_));
    }
    say(init());
  }

  void run() {
    for (int steps = 0; !choices_.empty() && steps < 300; ++steps) {
      step();
      settle();
      const auto summary = controller_.summary();
      FG_LAW(summary.connections <= kClients &&
             summary.direct + summary.relayed <= summary.connections);
      FG_LAW(summary.relays <= kRelays && summary.relays_answering <= summary.relays);
    }
  }

 private:
  struct Worker {
    Worker(WorkerIndex index, crypto::AeadEngine& engine)
        : pipeline(
              {.worker = index, .workers = kWorkers, .clients_max = 8, .offloads = {}, .seed = 1},
              engine, rings) {}
    Rings rings;
    pipeline::Pipeline pipeline;
  };

  [[nodiscard]] WallTime wall() const { return fuzz::kWallStart + (now_ - fuzz::kStart); }
  [[nodiscard]] static portal::UnixSeconds unix_start() {
    return std::chrono::duration_cast<std::chrono::seconds>(fuzz::kWallStart.time_since_epoch())
        .count();
  }

  void step() {
    switch (choices_.below(16)) {
      case 0:
        return say(init());
      case 1:
      case 2:
        return authorize();
      case 3:
        return legacy();
      case 4:
        return say(portal::RejectAccess{client(), resource_id()});
      case 5:
        return change_grant();
      case 6:
        return say(portal::IceCandidates{client(), {line()}, choices_.flag()});
      case 7:
        return presence();
      case 8:
        answers_ = choices_.u8();
        return;
      case 9:
      case 10:
        return check();
      case 11:
        return from_client();
      case 12:
        return arrive(copy_of(choices_.bytes()), choices_.flag() ? server(0) : remote(0));
      case 13:
        return pass_time(choices_.pause());
      case 14:
        return run_timers();
      default:
        return from_tun();
    }
  }

  // ---- the portal ----

  void say(portal::Ingress message) { controller_.on_portal(std::move(message), now_, wall()); }
  std::size_t number_of_client() { return choices_.below(kClients); }
  ClientId client() { return id<ClientId>(number_of_client()); }
  ResourceId resource_id() { return id<ResourceId>(choices_.below(3)); }
  std::string next_ref() {
    const auto ref = "ref-" + std::to_string(asked_++);
    unanswered_.insert(ref);
    return ref;
  }

  portal::Relay relay(std::size_t n) {
    return {id<RelayId>(n), server(n), std::nullopt, "2145916800:salt",
            SecretText{choices_.below(8) == 7 ? "new" : "pw"}};
  }
  portal::Init init() {
    const auto what = choices_.u8();
    portal::Init out{IpAddress::v4(100, 64, 0, 1), v6(1), {}, std::nullopt, std::nullopt};
    for (std::size_t n = 0; n < kRelays; ++n) {
      if ((what >> n & 1) == 0) out.relays.push_back(relay(n));
    }
    if ((what & 4) != 0) {
      out.authorizations.emplace();
      if ((what & 8) != 0)
        out.authorizations->push_back({client(), resource_id(), expiry().value_or(unix_start())});
    }
    return out;
  }
  std::optional<portal::UnixSeconds> expiry() {
    const auto what = choices_.u8();
    if (what < 128) return std::nullopt;
    return unix_start() + (what - 160) * 10;
  }
  portal::Resource resource() {
    portal::Resource out;
    out.id = resource_id();
    switch (choices_.below(3)) {
      case 0:
        out.network = Cidr{IpAddress::v4(10, 0, 0, 0), 8};
        break;
      case 1:
        out.type = portal::Resource::Type::dns;
        out.pattern = "*.lab.test";
        break;
      default:
        out.type = portal::Resource::Type::internet;
    }
    if (choices_.flag()) out.filters.push_back({portal::Filter::Protocol::tcp, 80, 443});
    return out;
  }
  static portal::Peer peer(std::size_t n) {
    return {id<ClientId>(n), keys().clients[n].public_key(), preshared(n), tunnel_v4(n),
            v6(static_cast<std::uint8_t>(10 + n))};
  }
  std::optional<portal::Domain> domain() {
    if (choices_.flag()) return std::nullopt;
    return portal::Domain{choices_.flag() ? "a.lab.test" : "elsewhere.test",
                          {IpAddress::v4(100, 96, 0, 1)}};
  }

  void authorize() {
    const auto n = number_of_client();
    portal::Authorize out;
    out.ref = next_ref();
    out.resource = resource();
    out.expires_at = expiry();
    out.client = peer(n);
    out.client_ice = {"cl" + std::to_string(n), SecretText{"client-password"}};
    out.gateway_ice = {"gw" + std::to_string(n), SecretText{"gateway-password"}};
    gateway_ice_[n] = out.gateway_ice;
    say(std::move(out));
  }
  void legacy() {
    const auto n = number_of_client();
    if (choices_.flag()) {
      portal::AllowAccess out;
      out.ref = next_ref();
      out.client = id<ClientId>(n);
      out.client_v4 = tunnel_v4(n);
      out.client_v6 = v6(static_cast<std::uint8_t>(10 + n));
      out.resource = resource();
      out.expires_at = expiry();
      out.domain = domain();
      return say(std::move(out));
    }
    portal::RequestConnection out;
    out.ref = next_ref();
    out.resource = resource();
    out.expires_at = expiry();
    out.client = peer(n);
    out.client_ice = {"cl" + std::to_string(n), SecretText{"client-password"}};
    out.domain = domain();
    legacy_of_[out.ref] = n;
    say(std::move(out));
  }
  void change_grant() {
    if (choices_.flag()) return say(portal::ResourceUpdated{resource()});
    say(portal::ExpiryUpdated{client(), resource_id(), expiry().value_or(unix_start() + 100'000)});
  }
  void presence() {
    portal::RelaysPresence out;
    for (std::size_t n = 0; n < kRelays; ++n) {
      const auto what = choices_.u8();
      if ((what & 1) != 0) out.disconnected.push_back(id<RelayId>(n));
      if ((what & 2) != 0) out.connected.push_back(relay(n));
    }
    say(std::move(out));
  }
  std::string line() {
    if (choices_.below(8) == 7) return std::string{choices_.text()};
    const auto n = number_of_client();
    const auto at = choices_.flag()
                        ? remote(n)
                        : SocketAddress{server(0).ip, static_cast<std::uint16_t>(50'000 + n)};
    return "candidate:1 1 udp 2130706431 " + at.ip.to_string() + ' ' + std::to_string(at.port) +
           " typ host";
  }

  // ---- the clients ----

  // A check of the client's agent, signed with what the gateway gave it.
  void check() {
    const auto n = number_of_client();
    const auto& ours = gateway_ice_[n];
    if (ours.username.empty()) return;
    const auto what = choices_.u8();
    std::array<std::uint8_t, stun::kMessageMax> buffer{};
    stun::Builder b{buffer, stun::Method::binding, stun::Class::request, {what}};
    b.username(ours.username + ":cl" + std::to_string(n))
        .ice_controlling(1)
        .priority(1'845'501'695);
    if ((what & 1) != 0) b.use_candidate();
    b.integrity(stun::short_term_key(ours.password)).fingerprint();
    arrive(copy_of(*b.finish()), remote(n));
  }
  void from_client() {
    const auto n = number_of_client();
    const auto what = choices_.u8();
    if (what >= 192) {  // in-tunnel control: a name with its proxy addresses, or anything
      const auto text = R"({"resource":")" + id<ResourceId>(what & 3).to_string() +
                        R"(","domain":")" + ((what & 0x20) == 0 ? "a" : "b") +
                        R"(.lab.test","proxy_ips":["100.96.0.1"]})";
      std::array<std::uint8_t, packet::kPacketMax> buffer{};
      const packet::ControlMessage message{
          .type = static_cast<std::uint8_t>(what >> 2 & 3),
          .payload = (what & 0x10) == 0 ? as_bytes(text) : choices_.bytes()};
      return tunnels_[n]->encapsulate(Bytes{buffer}.first(message.write(buffer)), now_, wall());
    }
    test::PacketBuilder builder{(what & 1) == 0 ? test::PacketBuilder::Kind::tcp
                                                : test::PacketBuilder::Kind::echo};
    const auto to = (what & 2) == 0 ? IpAddress::v4(10, 1, 2, 3) : IpAddress::v4(100, 96, 0, 1);
    builder.from(tunnel_v4(n), 5000).to(to, 80).payload_size(choices_.u8());
    tunnels_[n]->encapsulate(builder.build(), now_, wall());
  }
  void from_tun() {
    test::PacketBuilder builder{test::PacketBuilder::Kind::tcp};
    builder.from(IpAddress::v4(10, 1, 2, 3), 80)
        .to(tunnel_v4(number_of_client()), 5000)
        .payload_size(choices_.u8());
    const auto packet = builder.build();
    ByteVector read(kVnetHeaderSize);
    read.insert(read.end(), packet.begin(), packet.end());
    TunRead batch{read};
    workers_[choices_.below(kWorkers)]->pipeline.on_tun({&batch, 1}, now_);
  }

  // ---- the network ----

  // As the socket's steering would: by receiver index where there is one, else anywhere.
  void arrive(ByteVector bytes, const SocketAddress& from) {
    if (bytes.empty()) return;
    auto worker = choices_.below(kWorkers);
    if (const auto receiver = wireguard::receiver_of(bytes); receiver && choices_.below(4) != 3) {
      worker = number(pipeline::worker_of(*receiver)) % kWorkers;
    }
    ReceivedDatagrams batch{.bytes = bytes,
                            .segment = static_cast<std::uint16_t>(bytes.size()),
                            .ecn = 0,
                            .from = from,
                            .local = kHost};
    workers_[worker]->pipeline.on_datagrams({&batch, 1}, now_);
  }

  void carry(const SocketAddress& to, ByteVector bytes) {
    for (std::size_t n = 0; n < kRelays; ++n) {
      if (to != server(n)) continue;
      if ((answers_ >> n & 1) == 0) answer(n, bytes);
      return;
    }
    for (std::size_t n = 0; n < kClients; ++n) {
      if (to != remote(n)) continue;
      if (packet::classify(bytes) == packet::DatagramKind::stun)
        answer_check(n, bytes);
      else
        tunnels_[n]->on_datagram(bytes, kHost.ip, now_);
    }
  }
  void answer(std::size_t n, const ByteVector& bytes) {
    const auto request = stun::Message::parse(bytes);
    if (!request) return;
    std::array<std::uint8_t, stun::kMessageMax> buffer{};
    const bool challenges = request->method() != stun::Method::binding && !request->nonce();
    stun::Builder b{buffer, request->method(),
                    challenges ? stun::Class::error : stun::Class::success, request->transaction()};
    if (challenges)
      b.error_code(401, "Unauthorized").realm("firezone").nonce("nonce");
    else
      b.xor_mapped_address(kHost).lifetime(600).xor_relayed_address({server(n).ip, 50'000});
    if (request->method() != stun::Method::binding) {
      b.integrity(stun::long_term_key("2145916800:salt", "firezone", SecretText{"pw"}).expose());
    }
    network_.push_back({server(n), copy_of(*b.finish())});
  }
  void answer_check(std::size_t n, const ByteVector& bytes) {
    const auto request = stun::Message::parse(bytes);
    if (!request || request->type_class() != stun::Class::request || (answers_ & 0x10) != 0) return;
    std::array<std::uint8_t, stun::kMessageMax> buffer{};
    stun::Builder b{buffer, stun::Method::binding, stun::Class::success, request->transaction()};
    b.xor_mapped_address(kHost).integrity(as_bytes("client-password")).fingerprint();
    network_.push_back({remote(n), copy_of(*b.finish())});
  }

  // ---- time and wiring ----

  void pass_time(Duration by) {
    now_ += by;
    tick();
  }
  void tick() {
    controller_.on_timeout(now_, wall());
    for (auto& worker : workers_) worker->pipeline.on_timeout(now_);
    for (auto& tunnel : tunnels_) tunnel->on_timeout(now_, wall());
  }
  void run_timers() {
    for (auto n = choices_.below(24); n > 0; --n) {
      auto next = controller_.wakeup();
      for (const auto& worker : workers_) next = earlier(next, worker->pipeline.wakeup());
      if (!next) return;
      // A wake-up that stays where it is would be a busy loop.
      steps_behind_ = next->at <= now_ ? steps_behind_ + 1 : 0;
      FG_LAW(steps_behind_ < 200);
      now_ = std::max(now_, next->at);
      tick();
      settle();
    }
  }

  void settle() {
    for (int rounds = 0; pump(); ++rounds) FG_LAW(rounds < 400);  // it comes to rest
  }
  bool pump() {
    const auto before = controller_.wakeup();
    std::size_t outputs = 0;
    for (; auto out = controller_.poll_datagram(); ++outputs) carry(out->to, std::move(out->bytes));
    for (; auto out = controller_.poll_command(); ++outputs) {
      FG_LAW(number(out->worker) < kWorkers);
      auto& worker = *workers_[number(out->worker)];
      worker.pipeline.apply(std::move(out->command), now_);
      worker.pipeline.flush(now_);
    }
    for (; auto out = controller_.poll_portal(); ++outputs) {
      if (const auto* said = std::get_if<portal::Egress>(&*out))
        std::visit([this](const auto& m) { hear(m); }, *said);
    }
    while (controller_.poll_interface()) ++outputs;
    while (controller_.poll_flow_log_news()) ++outputs;
    if (controller_.poll_reachable()) ++outputs;
    for (; auto query = controller_.poll_query(); ++outputs) {
      if (choices_.flag()) controller_.on_resolved(query->id, resolved(query->id), now_, wall());
    }
    FG_LAW(outputs == 0 || (before && before->at <= now_));
    for (auto& worker : workers_) outputs += empty(worker->rings);
    for (std::size_t n = 0; n < kClients; ++n) {
      for (; auto datagram = tunnels_[n]->poll_datagram(); ++outputs)
        arrive(std::move(*datagram), remote(n));
      while (tunnels_[n]->poll_inner()) ++outputs;
      while (tunnels_[n]->poll_event()) ++outputs;
    }
    for (; !network_.empty(); ++outputs) {
      auto [from, bytes] = std::move(network_.front());
      network_.pop_front();
      arrive(std::move(bytes), from);
    }
    return outputs != 0;
  }
  // In turn: addresses, others, none, no answer.
  static dns::Resolved resolved(dns::ResolutionId id) {
    switch (static_cast<std::uint64_t>(id) % 4) {
      case 0:
        return {std::vector{IpAddress::v4(10, 9, 8, 7)}, std::vector{v6(9)}};
      case 1:
        return {std::vector{IpAddress::v4(10, 1, 2, 3)}, std::nullopt};
      case 2:
        return {std::vector<IpAddress>{}, std::vector<IpAddress>{}};
      default:
        return {};
    }
  }
  std::size_t empty(Rings& rings) {
    std::size_t moved = 0;
    for (; !rings.events.empty(); rings.events.pop_front(), ++moved)
      controller_.on_event(rings.events.front(), now_, wall());
    for (; !rings.punts.empty(); rings.punts.pop_front(), ++moved)
      controller_.on_punt(rings.punts.front(), now_, wall());
    for (; !rings.sent.empty(); rings.sent.pop_front(), ++moved)
      carry(rings.sent.front().to, rings.sent.front().bytes);
    for (; !rings.handoffs.empty(); rings.handoffs.pop_front(), ++moved) {
      auto& [to, handoff] = rings.handoffs.front();
      auto& target = workers_[number(to)]->pipeline;
      target.on_handoff(handoff, now_);
      target.flush(now_);
    }
    return moved;
  }

  // Each request is answered once at most.
  void hear(const portal::Authorized& m) { FG_LAW(unanswered_.erase(m.ref) == 1); }
  void hear(const portal::ConnectionReady& m) {
    FG_LAW(unanswered_.erase(m.ref) == 1);
    if (const auto request = legacy_of_.find(m.ref); m.ice && request != legacy_of_.end()) {
      gateway_ice_[request->second] = *m.ice;
    }
  }
  void hear(const portal::BroadcastCandidates& m) { FG_LAW(!m.candidates.empty()); }
  void hear(const portal::NoRelays&) {}

  fuzz::Choices choices_;
  SeededRandom random_{7};
  Silent log_;
  crypto::AeadEngine engine_;
  Instant now_ = fuzz::kStart;
  Controller controller_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::vector<std::unique_ptr<wireguard::Tunnel>> tunnels_;
  std::deque<std::pair<SocketAddress, ByteVector>> network_;
  std::array<portal::IceCredentials, kClients> gateway_ice_;
  std::map<std::string, std::size_t> legacy_of_;
  std::set<std::string> unanswered_;
  std::size_t asked_ = 0;
  std::uint8_t answers_ = 0;
  int steps_behind_ = 0;
};

void run(Bytes input) { World{input}.run(); }

}  // namespace

FG_FUZZ_TARGET(run)
