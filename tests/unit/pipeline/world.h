// A pipeline between scripted clients and a recorder. Every test ends by asserting that no packet
// was lost uncounted.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "filter/policy.h"
#include "packet/buffer.h"
#include "packet/channel_data.h"
#include "packet/demux.h"
#include "packet/segment.h"
#include "packet/vnet_header.h"
#include "pipeline/pipeline.h"
#include "tests/support/packets.h"
#include "wireguard/session.h"

namespace fg::pipeline::testing {

using test::echo;
using test::icmp;
using test::ip;
using test::other_ip;
using test::tcp;
using test::udp;

inline SocketAddress at(std::string_view text) { return SocketAddress::parse(text).value(); }

struct SentDatagram {
  SocketAddress to;
  std::optional<IpAddress> from;
  std::uint8_t ecn = 0;
  ByteVector bytes;
  std::size_t batch = 0;  // which transmit batch it was in
};

class Recorder final : public Output {
 public:
  std::vector<ByteVector> tun;  // inner packets, super-packets split again
  std::size_t tun_writes = 0;
  std::vector<SentDatagram> sent;
  std::size_t batches = 0;
  std::deque<Event> events;
  std::size_t patient_events = 0;
  std::deque<flow::Event> flow_events;
  std::deque<Punt> punts;
  std::vector<PuntClass> punt_classes;  // of all there ever were
  std::deque<std::pair<WorkerIndex, Handoff>> handoffs;
  std::size_t events_max = 1000;
  std::size_t punts_max = 1000;
  std::size_t handoffs_max = 1000;

  void write_tun(const TunWrite& packet) noexcept override {
    ++tun_writes;
    ByteVector whole;
    for (const auto part : packet.parts) whole.insert(whole.end(), part.begin(), part.end());
    const auto header = packet::VnetHeader::load(packet.header.data());
    const auto parsed = packet::InnerPacket::parse(whole, packet::kSuperPacketMax).value();
    if (header == packet::VnetHeader{}) {
      EXPECT_LE(whole.size(), nat::kCrossedMax);
      return tun.push_back(std::move(whole));
    }
    const auto segments = packet::Segments::of(header, parsed).value();
    EXPECT_EQ(segments.count(), packet.packets);
    for (std::size_t i = 0; i < segments.count(); ++i) {
      ByteVector one(segments.size(i));
      (void)segments.write(i, one.data());
      tun.push_back(std::move(one));
    }
  }
  void transmit(std::span<const OutgoingDatagrams> batch) noexcept override {
    for (const auto& d : batch) {
      EXPECT_LE(d.count(), 64U);
      EXPECT_LE(d.bytes.size(), 65'507U);
      for (std::size_t i = 0; i < d.bytes.size(); i += d.segment) {
        const auto one = d.bytes.subspan(i, std::min<std::size_t>(d.segment, d.bytes.size() - i));
        sent.push_back({d.to, d.from, d.ecn, copy_of(one), batches});
      }
      ++batches;
    }
  }
  Event* reserve_event(bool can_wait) noexcept override {
    patient_events += can_wait ? 1U : 0U;
    return events.size() < events_max ? &events.emplace_back() : nullptr;
  }
  flow::Event* reserve_flow_event() noexcept override { return &flow_events.emplace_back(); }
  Punt* reserve_punt(PuntClass punt_class) noexcept override {
    if (punts.size() >= punts_max) return nullptr;
    punt_classes.push_back(punt_class);
    return &punts.emplace_back();
  }
  Handoff* reserve_handoff(WorkerIndex to) noexcept override {
    if (handoffs.size() >= handoffs_max) return nullptr;
    return &handoffs.emplace_back(to, Handoff{}).second;
  }
  void publish() noexcept override {}

  template <class E>
  std::vector<E> take() {
    std::vector<E> out;
    std::deque<Event> rest;
    for (auto& e : events) {
      if (auto* wanted = std::get_if<E>(&e))
        out.push_back(*wanted);
      else
        rest.push_back(e);
    }
    events = std::move(rest);
    return out;
  }
};

// The far end of a session: the client's half of the keys.
class RemoteClient {
 public:
  RemoteClient(crypto::AeadEngine& engine, ClientSlot slot, ReceiverIndex gateway_index,
               std::uint32_t own_index, Instant now,
               wireguard::Role gateway_role = wireguard::Role::responder,
               std::uint64_t first_counter = 0)
      : slot_(slot),
        gateway_{.local_index = gateway_index,
                 .remote_index = own_index,
                 .send = key(gateway_index, 1),
                 .receive = key(gateway_index, 2),
                 .role = gateway_role,
                 .established = now},
        session_({.local_index = ReceiverIndex{own_index},
                  .remote_index = number(gateway_index),
                  .send = gateway_.receive.copy(),
                  .receive = gateway_.send.copy(),
                  .role = gateway_role == wireguard::Role::responder ? wireguard::Role::initiator
                                                                     : wireguard::Role::responder,
                  .established = now},
                 engine, first_counter) {}

  [[nodiscard]] InstallSession install() const {
    return {slot_,
            {.local_index = gateway_.local_index,
             .remote_index = gateway_.remote_index,
             .send = gateway_.send.copy(),
             .receive = gateway_.receive.copy(),
             .role = gateway_.role,
             .established = gateway_.established}};
  }
  [[nodiscard]] ByteVector seal(Bytes inner) {
    ByteVector message(packet::kDataHeader + inner.size() + packet::kDataTag);
    std::copy(inner.begin(), inner.end(), message.begin() + packet::kDataHeader);
    EXPECT_TRUE(session_.seal(message.data(), inner.size()));
    return message;
  }
  [[nodiscard]] ByteVector keepalive() { return seal({}); }
  // What was inside, if it opens.
  [[nodiscard]] std::optional<ByteVector> open(const SentDatagram& datagram, Instant now) {
    auto bytes = datagram.bytes;
    const auto result = session_.open(bytes, now);
    if (result.status != wireguard::OpenStatus::ok) return std::nullopt;
    return copy_of(result.inner);
  }

 private:
  static Secret<32> key(ReceiverIndex index, std::uint8_t direction) {
    std::array<std::uint8_t, 32> bytes{direction};
    store_le32(bytes.data() + 4, number(index));
    return Secret<32>{bytes};
  }
  ClientSlot slot_;
  wireguard::SessionKeys gateway_;
  wireguard::Session session_;
};

inline std::unique_ptr<const filter::Policy> policy_of(const filter::PolicyRules& rules) {
  return filter::Policy::compile(rules);
}
inline filter::RuleFilter everything() {
  filter::RuleFilter filter;
  filter.everything = true;
  return filter;
}
inline filter::PolicyRules rules_for(std::string_view network,
                                     filter::RuleFilter filter = everything()) {
  return {.rules = {{Cidr::parse(network, false).value(), ResourceId{}, std::move(filter)}},
          .internet = {}};
}

class World : public ::testing::Test {
 protected:
  static constexpr std::uint32_t kConnection = 0x12345;

  explicit World(PipelineOptions options = {.clients_max = 16})
      : options_(options), pipeline_(options_, engine_, out_) {
    apply(SetGatewayAddresses{ip("100.64.0.1"), ip("fd00:2021:1111::1")});
    allow_all_ =
        policy_of({.rules = {{Cidr::parse("0.0.0.0/0", false).value(), ResourceId{}, everything()},
                             {Cidr::parse("::/0", false).value(), ResourceId{}, everything()}},
                   .internet = {}});
  }

  void TearDown() override { expect_conserved(pipeline_); }

  static void expect_conserved(const Pipeline& p) {
    const auto& c = p.counters();
    EXPECT_EQ(c.datagrams_in + c.tun_in + c.handoffs_in + c.generated + c.fragments_given_up,
              c.fragments_kept + c.checks_answered + c.to_resources + c.to_clients +
                  c.keepalives_in + c.probes_in + c.probes_out + c.punted + c.handed_over +
                  c.drops.total());
  }
  [[nodiscard]] std::uint64_t dropped(DropReason reason) const {
    return pipeline_.counters().drops.of(reason);
  }

  void apply(Command command) {
    pipeline_.apply(std::move(command), now_);
    pipeline_.flush(now_);
  }
  void advance(Duration by) { now_ += by; }
  // Jumps from wake-up to wake-up, as a worker would.
  void run_for(Duration span) {
    const auto end = now_ + span;
    for (int i = 0; i < 10'000; ++i) {
      const auto wake = pipeline_.wakeup();
      if (!wake || wake->at > end) {
        now_ = end;
        return;
      }
      now_ = std::max(now_, wake->at);
      pipeline_.on_timeout(now_);
    }
    FAIL() << "never idle: " << pipeline_.wakeup()->why;
  }

  // A client at 203.0.113.<n>:<4000 + n> with the tunnel addresses .100 + n, session installed,
  // path set.
  RemoteClient connect(std::uint32_t n, const filter::Policy* policy = nullptr) {
    const ClientSlot slot{n};
    apply(
        AddClient{slot, tunnel_v4(n), tunnel_v6(n), policy != nullptr ? policy : allow_all_.get()});
    apply(SetPath{slot, {Path::Kind::direct, ip("198.51.100.1"), remote(n), {}}});
    return install(n, 1);
  }
  RemoteClient install(std::uint32_t n, std::uint8_t handshake,
                       wireguard::Role role = wireguard::Role::responder,
                       std::uint64_t first_counter = 0) {
    RemoteClient client{engine_,
                        ClientSlot{n},
                        make_receiver_index(options_.worker, kConnection + n, handshake),
                        0xC0FFEE00 + n,
                        now_,
                        role,
                        first_counter};
    apply(client.install());
    return client;
  }
  // … and confirmed, so that the gateway sends.
  RemoteClient establish(std::uint32_t n, const filter::Policy* policy = nullptr) {
    auto client = connect(n, policy);
    receive(client.keepalive(), n);
    return client;
  }
  static IpAddress tunnel_v4(std::uint32_t n) {
    return IpAddress::v4(100, 64, 0, static_cast<std::uint8_t>(100 + n));
  }
  static IpAddress tunnel_v6(std::uint32_t n) {
    return ip("fd00:2021:1111::" + std::to_string(100 + n));
  }
  static SocketAddress remote(std::uint32_t n) {
    return {IpAddress::v4(203, 0, 113, static_cast<std::uint8_t>(n)),
            static_cast<std::uint16_t>(4000 + n)};
  }

  void receive(ByteVector datagram, std::uint32_t n, std::uint8_t ecn = 0) {
    receive(std::move(datagram), remote(n), ecn);
  }
  void receive(ByteVector datagram, const SocketAddress& from, std::uint8_t ecn = 0) {
    ReceivedDatagrams batch{.bytes = datagram,
                            .segment = static_cast<std::uint16_t>(datagram.size()),
                            .ecn = ecn,
                            .from = from,
                            .local = at("198.51.100.1:52625")};
    pipeline_.on_datagrams({&batch, 1}, now_);
  }
  // All of one call, each of its own sender's buffer.
  void receive_all(std::vector<std::pair<ByteVector, std::uint32_t>> datagrams) {
    std::vector<ReceivedDatagrams> batch;
    for (auto& [bytes, n] : datagrams) {
      batch.push_back({.bytes = bytes,
                       .segment = static_cast<std::uint16_t>(bytes.size()),
                       .ecn = 0,
                       .from = remote(n),
                       .local = {}});
    }
    pipeline_.on_datagrams(batch, now_);
  }
  void from_tun(const ByteVector& packet, const packet::VnetHeader& header = {}) {
    from_tun_all({packet}, header);
  }
  void from_tun_all(const std::vector<ByteVector>& packets, const packet::VnetHeader& header = {}) {
    std::vector<ByteVector> reads;
    std::vector<TunRead> batch;
    for (const auto& p : packets) {
      auto& read = reads.emplace_back(kVnetHeaderSize);
      header.store(read.data());
      read.insert(read.end(), p.begin(), p.end());
    }
    for (auto& read : reads) batch.push_back({read});
    pipeline_.on_tun(batch, now_);
  }

  static ByteVector request(std::uint32_t n, std::string_view to = "10.1.2.3",
                            std::uint16_t port = 80) {
    return udp().from(tunnel_v4(n), 5000).to(to, port).payload("request").build();
  }
  static ByteVector reply(std::uint32_t n, std::string_view from = "10.1.2.3",
                          std::uint16_t port = 80) {
    return udp().from(from, port).to(tunnel_v4(n), 5000).payload("reply").build();
  }

  PipelineOptions options_;
  crypto::AeadEngine engine_;
  Recorder out_;
  Instant now_{std::chrono::hours{1}};
  std::unique_ptr<const filter::Policy> allow_all_;
  Pipeline pipeline_;
};

}  // namespace fg::pipeline::testing
