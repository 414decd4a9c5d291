// A batch is what its packets are one by one: whatever lies beside a packet in its batch, from
// other clients or its own, refused or not, changes nothing about it.
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <map>
#include <sstream>

#include "packet/control_message.h"
#include "packet/probe.h"
#include "tests/unit/pipeline/world.h"

namespace fg::pipeline {
namespace {

using namespace testing;

constexpr std::uint32_t kClients = 5;
constexpr std::uint32_t kLagging = 2;  // generation A
constexpr std::uint32_t kRelayed = 3;  // its data comes on a channel
constexpr std::uint32_t kIceless = 4;
constexpr std::uint32_t kStranger = 5;  // no such client
constexpr ChannelNumber kChannel{0x4001};
const SocketAddress kRelay = at("198.51.100.30:3478");
const SocketAddress kLocal = at("198.51.100.1:52625");
const Instant kNow{std::chrono::hours{1}};

unsigned below(unsigned n) { return *rc::gen::inRange(0U, n); }
template <class T>
T one_of(std::initializer_list<T> all) {
  return *rc::gen::elementOf(std::vector<T>{all});
}

IpAddress tunnel_v4(std::uint32_t n) {
  return IpAddress::v4(100, 64, 0, static_cast<std::uint8_t>(100 + n));
}
IpAddress tunnel_v6(std::uint32_t n) { return ip("fd00:2021:1111::" + std::to_string(100 + n)); }
SocketAddress remote(std::uint32_t n) {
  return {IpAddress::v4(203, 0, 113, static_cast<std::uint8_t>(n)), 4000};
}
ReceiverIndex index_of(std::uint32_t n, std::uint8_t handshake) {
  return make_receiver_index(WorkerIndex{0}, 0x12345 + n, handshake);
}

filter::PolicyRules rules() {
  filter::Rule web{Cidr::parse("10.1.0.0/16", false).value(), ResourceId{{1}}, {}};
  web.filter.tcp = {{80, 90}};
  web.filter.udp = {{53, 80}};
  filter::PolicyRules out{.rules = {web}, .internet = {}};
  for (const auto* network : {"10.2.0.0/16", "100.96.0.0/11", "2001:db8::/32",
                              "fd00:2021:1111:8000::/107", "198.18.0.0/15"}) {
    out.rules.push_back({Cidr::parse(network, false).value(), ResourceId{{2}}, everything()});
  }
  return out;
}

std::vector<nat::Translation> names() {
  return {{ip("100.96.0.1"), ip("198.18.0.1"), nat::NameId{1}},
          {ip("100.96.0.2"), ip("198.18.0.1"), nat::NameId{2}},
          {ip("100.96.0.3"), ip("2001:db8::3"), nat::NameId{3}},
          {ip("100.96.0.4"), std::nullopt, nat::NameId{4}},
          {ip("fd00:2021:1111:8000::1"), ip("2001:db8::1"), nat::NameId{1}},
          {ip("fd00:2021:1111:8000::2"), ip("198.18.0.2"), nat::NameId{2}}};
}

// One of the two gateways that are compared.
struct Side {
  Side(const filter::Policy* policy, const nat::Translations* translations) {
    apply(SetGatewayAddresses{ip("100.64.0.1"), ip("fd00:2021:1111::1")});
    apply(SetRelay{RelaySlot{0}, kRelay});
    apply(SetChannel{RelaySlot{0}, kChannel, true});
    apply(SetTunnelOwner{tunnel_v4(kStranger + 1), WorkerIndex{1}});
    apply(SetFlowTracking{true});
    for (std::uint32_t n = 0; n < kClients; ++n) {
      AddClient add{ClientSlot{n}, tunnel_v4(n), tunnel_v6(n), policy};
      add.grants_may_lag = n == kLagging;
      add.is_iceless = n == kIceless;
      apply(std::move(add));
      if (n != kIceless) apply(SetTranslations{ClientSlot{n}, translations, false});
      Path path{Path::Kind::direct, kLocal.ip, remote(n), {}};
      if (n == kRelayed) path = {Path::Kind::relayed, {}, kRelay, kChannel};
      apply(SetPath{ClientSlot{n}, path});
    }
  }
  void apply(Command command) {
    pipeline.apply(std::move(command), kNow);
    pipeline.flush(kNow);
  }

  crypto::AeadEngine engine;
  Recorder out;
  Pipeline pipeline{
      {.worker = WorkerIndex{0}, .workers = 2, .clients_max = 8, .offloads = {}, .seed = 7},
      engine,
      out};
};

struct Datagram {
  ByteVector bytes;
  SocketAddress from;
  std::uint8_t ecn = 0;
};

class Twins {
 public:
  Twins()
      : policy_(filter::Policy::compile(rules())),
        translations_(nat::Translations::compile(names(), true)),
        together_(policy_.get(), translations_.get()),
        alone_(policy_.get(), translations_.get()) {
    for (std::uint32_t n = 0; n < kClients; ++n) {
      for (const auto handshake : {std::uint8_t{1}, std::uint8_t{2}}) {
        clients_.emplace_back(together_.engine, ClientSlot{n}, index_of(n, handshake),
                              0xC0FFEE00 + 16 * n + handshake, kNow);
        together_.apply(clients_.back().install());
        alone_.apply(clients_.back().install());
      }
    }
    strangers_.emplace_back(together_.engine, ClientSlot{kStranger}, index_of(kStranger, 1),
                            0xC0FFEEFF, kNow);
    // Sends under a key that nobody but itself has.
    strangers_.emplace_back(together_.engine, ClientSlot{0}, index_of(0, 1), 0xC0FFEEFE, kNow - 1h,
                            wireguard::Role::initiator);
  }

  void from_clients() {
    std::vector<Datagram> all;
    for (auto left = 1 + below(150); left > 0; --left) all.push_back(datagram(all));
    auto copies = all;
    std::vector<ReceivedDatagrams> batch;
    for (auto& d : all) batch.push_back(received(d));
    together_.pipeline.on_datagrams(batch, kNow);
    for (auto& d : copies) {
      auto one = received(d);
      alone_.pipeline.on_datagrams({&one, 1}, kNow);
    }
  }

  void from_resources() {
    std::vector<ByteVector> all;
    for (auto left = 1 + below(100); left > 0; --left) all.push_back(read());
    auto copies = all;
    std::vector<TunRead> batch;
    for (auto& r : all) batch.push_back({r});
    together_.pipeline.on_tun(batch, kNow);
    for (auto& r : copies) {
      TunRead one{r};
      alone_.pipeline.on_tun({&one, 1}, kNow);
    }
  }

  void compare() {
    RC_ASSERT(by_flow(together_) == by_flow(alone_));
    RC_ASSERT(by_destination(together_) == by_destination(alone_));
    RC_ASSERT(told(together_) == told(alone_));
    RC_ASSERT(counted(together_) == counted(alone_));
    for (auto* side : {&together_, &alone_}) {
      Law::expect_conserved(side->pipeline);
      side->out.tun.clear();
      side->out.sent.clear();
    }
  }

 private:
  struct Law : World {
    using World::expect_conserved;
  };

  static ReceivedDatagrams received(Datagram& d) {
    return {.bytes = d.bytes,
            .segment = static_cast<std::uint16_t>(d.bytes.size()),
            .ecn = d.ecn,
            .from = d.from,
            .local = kLocal};
  }

  Datagram datagram(const std::vector<Datagram>& before) {
    const auto n = below(kClients);
    auto& client = clients_[2 * n + (below(8) == 0 ? 1 : 0)];
    const auto ecn = static_cast<std::uint8_t>(below(4));
    switch (below(16)) {
      case 0:  // once more, or nearly
        if (!before.empty()) {
          auto again = before[below(static_cast<unsigned>(before.size()))];
          if (below(2) == 0) again.bytes.back() ^= 1;
          return again;
        }
        break;
      case 1:
        return {strangers_[below(2)].seal(request(n)), remote(n), ecn};
      case 2:
        return {framed(n, client.keepalive()), from(n), ecn};
      case 3: {  // of another worker
        auto message = client.seal(request(n));
        message[7] ^= 0x10;
        return {std::move(message), remote(n), ecn};
      }
      case 4: {  // no WireGuard data at all, or a channel that is not open
        auto message = client.seal(request(n));
        message[0] = one_of<std::uint8_t>({0, 1, 4, 9});
        ByteVector channel{0x40, 0x02, 0, 4, 4, 0, 0, 0};
        return {below(2) == 0 ? std::move(message) : std::move(channel),
                below(2) == 0 ? kRelay : remote(n), ecn};
      }
      case 5:
        if (n == kIceless) {
          auto probe = packet::Probe{}.write();
          return {client.seal(probe), remote(n), ecn};
        }
        return {framed(n, client.seal(packet::goodbye_packet())), from(n), ecn};
      default:
        break;
    }
    return {framed(n, client.seal(request(n))), from(n), ecn};
  }
  static SocketAddress from(std::uint32_t n) { return n == kRelayed ? kRelay : remote(n); }
  static ByteVector framed(std::uint32_t n, ByteVector message) {
    if (n != kRelayed) return message;
    ByteVector out(packet::kChannelHeader);
    packet::write_channel_header(out.data(), kChannel, static_cast<std::uint16_t>(message.size()));
    out.insert(out.end(), message.begin(), message.end());
    return out;
  }

  // Most are allowed, in runs of a flow; each kind of refusal lies among them.
  ByteVector request(std::uint32_t n) {
    const bool v6 = below(4) == 0;
    const auto own =
        below(20) == 0 ? (v6 ? tunnel_v6(9) : tunnel_v4(9)) : (v6 ? tunnel_v6(n) : tunnel_v4(n));
    const auto to =
        ip(v6 ? one_of<std::string_view>({"2001:db8::7", "2001:db8::7", "fd00:2021:1111:8000::1",
                                          "fd00:2021:1111:8000::2", "fd00:2021:1111:8000::9",
                                          "fd00:2021:1111::1", "fd00:2021:1111::64", "ff02::1",
                                          "3000::1"})
              : one_of<std::string_view>({"10.1.0.7", "10.1.0.7", "10.2.0.8", "10.2.0.8",
                                          "100.96.0.1", "100.96.0.1", "100.96.0.2", "100.96.0.3",
                                          "100.96.0.4", "100.96.0.5", "100.64.0.1", "100.64.0.101",
                                          "224.0.0.1", "192.0.2.77"}));
    auto packet = built(own, static_cast<std::uint16_t>(5000 + below(2)), to,
                        one_of<std::uint16_t>({80, 80, 81, 53535, 99}));
    const auto bend = below(24);
    if (bend == 0) packet.resize(below(static_cast<unsigned>(packet.size())) + 1);
    if (bend == 1) packet[below(8)] ^= 0x20;
    return packet;
  }
  ByteVector built(const IpAddress& source, std::uint16_t source_port, const IpAddress& to,
                   std::uint16_t port) {
    using Kind = test::PacketBuilder::Kind;
    test::PacketBuilder builder{one_of({Kind::tcp, Kind::tcp, Kind::tcp, Kind::udp, Kind::udp,
                                        Kind::echo, Kind::icmp, Kind::other})};
    builder.from(source, source_port).to(to, port);
    builder.flags(one_of<std::uint8_t>({0x10, 0x10, 0x10, 0x18, 0x02, 0x11, 0x14}));
    builder.sequence(next_sequence_).ecn(static_cast<std::uint8_t>(below(4)));
    const auto size = one_of<std::size_t>({0, 8, 100, 100, 100, 1000});
    next_sequence_ += static_cast<std::uint32_t>(size);
    return builder.payload_size(size).build();
  }

  ByteVector read() {
    const auto n = below(kStranger + 2);  // with somebody unknown, and another worker's
    const bool v6 = below(4) == 0;
    const auto own = v6 ? tunnel_v6(n) : tunnel_v4(n);
    const auto resource =
        ip(v6 ? one_of<std::string_view>(
                    {"2001:db8::7", "2001:db8::1", "2001:db8::3", "3000::1", "fd00:2021:1111::1"})
              : one_of<std::string_view>({"10.1.0.7", "10.2.0.8", "198.18.0.1", "198.18.0.1",
                                          "198.18.0.2", "100.64.0.1", "192.0.2.77"}));
    auto packet = built(resource, one_of<std::uint16_t>({80, 80, 81, 99}), own,
                        static_cast<std::uint16_t>(5000 + below(2)));
    packet::VnetHeader header;
    if (!v6 && packet[9] == 6 && packet.size() > 100 && below(2) == 0) {
      header = {.flags = packet::VnetHeader::kNeedsChecksum,
                .gso_type = packet::VnetHeader::kGsoTcpV4,
                .header_length = 40,
                .gso_size = 60,
                .checksum_start = 20,
                .checksum_offset = 16};
    }
    if (below(24) == 0) packet.resize(below(static_cast<unsigned>(packet.size())) + 1);
    ByteVector out(kVnetHeaderSize);
    header.store(out.data());
    out.insert(out.end(), packet.begin(), packet.end());
    return out;
  }

  // What the TUN device got, each flow in its order. The identification of a packet that may not be
  // fragmented means nothing.
  static std::map<ByteVector, std::vector<ByteVector>> by_flow(const Side& side) {
    std::map<ByteVector, std::vector<ByteVector>> out;
    for (auto packet : side.out.tun) {
      const bool v4 = packet[0] >> 4 == 4;
      if (v4) {
        std::fill_n(packet.begin() + 4, 2, 0);
        std::fill_n(packet.begin() + 10, 2, 0);
      }
      ByteVector key{packet.begin() + (v4 ? 12 : 8), packet.begin() + (v4 ? 20 : 40)};
      key.push_back(packet[v4 ? 9 : 6]);
      const auto ports = Bytes{packet}.subspan(v4 ? 20 : 40);
      for (const auto byte : ports.first(std::min<std::size_t>(ports.size(), 4)))
        key.push_back(byte);
      out[key].push_back(std::move(packet));
    }
    return out;
  }
  static std::map<std::string, std::vector<ByteVector>> by_destination(const Side& side) {
    std::map<std::string, std::vector<ByteVector>> out;
    for (const auto& d : side.out.sent)
      out[d.to.to_string() + " " + std::to_string(d.ecn)].push_back(d.bytes);
    return out;
  }
  // Events come in any order, everything else in that of the packets.
  static std::string told(const Side& side) {
    std::vector<std::string> events;
    for (const auto& event : side.out.events) {
      std::ostringstream line;
      line << event.index();
      if (const auto* e = std::get_if<SessionConfirmed>(&event))
        line << ' ' << number(e->slot) << ' ' << number(e->local_index);
      if (const auto* e = std::get_if<ClientActivity>(&event)) line << ' ' << number(e->slot);
      if (const auto* e = std::get_if<RouteActivity>(&event))
        line << ' ' << number(e->slot) << ' ' << e->route.from.to_string() << e->probe.has_value();
      events.push_back(line.str());
    }
    std::ranges::sort(events);
    std::ostringstream out;
    for (const auto& event : events) out << event << '\n';
    for (const auto& punt : side.out.punts)
      out << "punt " << number(punt.slot) << ' ' << punt.length << ' ' << punt.from.to_string()
          << '\n';
    for (const auto& [to, handoff] : side.out.handoffs)
      out << "to worker " << handoff.length << ' ' << handoff.from.to_string() << '\n';
    for (const auto& event : side.out.flow_events) {
      out << "flow " << event.flow << ' ' << event.what.index();
      if (const auto* e = std::get_if<flow::Started>(&event.what))
        out << ' ' << e->key.inner_client.to_string() << ' ' << e->key.remote.to_string() << ' '
            << e->key.client_port << ' ' << e->key.remote_port << ' ' << e->name;
      if (const auto* e = std::get_if<flow::Completed>(&event.what))
        out << ' ' << e->rx_packets << ' ' << e->tx_packets << ' ' << e->rx_bytes << ' '
            << e->tx_bytes;
      out << '\n';
    }
    return out.str();
  }
  static std::vector<std::uint64_t> counted(Side& side) {
    const auto& c = side.pipeline.counters();
    std::vector<std::uint64_t> out{c.datagrams_in,    c.tun_in,      c.handoffs_in,
                                   c.generated,       c.punted,      c.to_resources,
                                   c.to_clients,      c.probes_in,   c.keepalives_in,
                                   c.handed_over,     c.events_lost, c.bytes_to_resources,
                                   c.bytes_to_clients};
    // A damaged copy is one of the two, by whether what it copies was committed before it is read.
    out.push_back(c.drops.of(DropReason::replayed) + c.drops.of(DropReason::bad_tag));
    for (std::size_t i = 0; i < kDropReasons; ++i) {
      const auto reason = static_cast<DropReason>(i);
      if (reason != DropReason::replayed && reason != DropReason::bad_tag)
        out.push_back(c.drops.of(reason));
    }
    TrafficPage page;
    for (std::uint32_t n = 0; n < kClients; ++n)
      page.lines.push_back({.slot = ClientSlot{n}, .is_known = false, .traffic = {}});
    side.apply(ReadTraffic{&page});
    (void)side.out.take<TrafficRead>();
    for (const auto& line : page.lines) {
      const auto& t = line.traffic;
      out.insert(out.end(), {t.packets_in, t.bytes_in, t.packets_out, t.bytes_out, t.flows});
    }
    return out;
  }

  std::unique_ptr<const filter::Policy> policy_;
  std::unique_ptr<const nat::Translations> translations_;
  Side together_;
  Side alone_;
  std::deque<RemoteClient> clients_;  // two sessions of each
  std::deque<RemoteClient> strangers_;
  std::uint32_t next_sequence_ = 1;
};

RC_GTEST_PROP(Batch, IsWhatItsPacketsAreOneByOne, ()) {
  Twins twins;
  for (auto turns = 1 + below(3); turns > 0; --turns) {
    twins.from_clients();
    twins.compare();
    twins.from_resources();
    twins.compare();
  }
}

}  // namespace
}  // namespace fg::pipeline
