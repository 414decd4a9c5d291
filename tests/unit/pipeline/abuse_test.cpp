// Both directions under arbitrary input, and what the packet path may not do: allocate.
#include <atomic>
#include <cstdlib>
#include <new>

#include "tests/unit/pipeline/world.h"

namespace {

std::atomic<std::size_t> allocations{0};

}  // namespace

void* operator new(std::size_t size) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  if (void* p = std::malloc(size == 0 ? 1 : size)) return p;
  throw std::bad_alloc{};
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  allocations.fetch_add(1, std::memory_order_relaxed);
  return std::malloc(size == 0 ? 1 : size);
}
void operator delete(void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }

namespace fg::pipeline::testing {
namespace {

class Abuse : public World {
 protected:
  ByteVector mutated(ByteVector bytes) {
    const auto changes = random_.below(4);
    for (std::uint32_t i = 0; i < changes && !bytes.empty(); ++i) {
      const auto size = static_cast<std::uint32_t>(bytes.size());
      const auto any = static_cast<std::uint8_t>(random_.u32());
      switch (random_.below(4)) {
        case 0:
          bytes[random_.below(size)] = any;
          break;
        case 1:
          bytes[random_.below(std::min(60U, size))] = any;
          break;
        case 2:
          bytes.resize(random_.below(size + 1));
          break;
        default:
          bytes.resize(size + random_.below(40), any);
          break;
      }
    }
    return bytes;
  }
  ByteVector any_inner(bool to_client) {
    const auto far = random_.below(2) == 0 ? "10.1.2.3" : "100.64.0.1";
    const auto own = tunnel_v4(1);
    auto tuple = [&](test::PacketBuilder b) {
      return to_client ? b.from(far, 53535).to(own, 9) : b.from(own, 9).to(far, 53535);
    };
    switch (random_.below(6)) {
      case 0:
        return tuple(tcp()).payload_size(random_.below(1200)).build();
      case 1:
        return tuple(echo(5)).payload_size(random_.below(100)).build();
      case 2:
        return tuple(icmp(3, 1)).payload(to_client ? request(1) : reply(1)).build();
      case 3:
        return udp()
            .from(to_client ? ip("2001:db8::1") : tunnel_v6(1), 1)
            .to(to_client ? tunnel_v6(1) : ip("2001:db8::1"), 2)
            .extension(60)
            .payload_size(20)
            .build();
      case 4:
        return other_ip(static_cast<std::uint8_t>(random_.u32()))
            .from("::")
            .to("::")
            .payload_size(random_.below(60))
            .build();
      default:
        return tuple(udp()).payload_size(random_.below(1252)).build();
    }
  }
  SeededRandom random_{20};
};

TEST_F(Abuse, ArbitraryInputIsCountedAndNothingElse) {
  auto client = establish(1);
  apply(SetRelay{RelaySlot{0}, at("192.0.2.50:3478")});
  apply(SetChannel{RelaySlot{0}, ChannelNumber{0x4001}, true});
  for (int i = 0; i < 20'000; ++i) {
    if (i % 2000 == 0) client = install(1, static_cast<std::uint8_t>(i / 2000 + 2));
    advance(1ms);
    switch (random_.below(4)) {
      case 0: {
        auto message = mutated(client.seal(mutated(any_inner(false))));
        if (random_.below(2) == 0) {
          ByteVector framed(4);
          packet::write_channel_header(framed.data(), ChannelNumber{0x4001},
                                       static_cast<std::uint16_t>(message.size()));
          framed.insert(framed.end(), message.begin(), message.end());
          message = mutated(framed);
        }
        if (!message.empty())
          receive(message, random_.below(2) == 0 ? remote(1) : at("192.0.2.50:3478"), 3);
        break;
      }
      case 1:
        receive(client.seal(mutated(any_inner(false))), 1,
                static_cast<std::uint8_t>(random_.below(4)));
        break;
      case 2: {
        packet::VnetHeader header;
        header.flags = static_cast<std::uint8_t>(random_.below(4));
        header.gso_type = static_cast<std::uint8_t>(random_.below(7));
        header.gso_size = static_cast<std::uint16_t>(random_.below(3) == 0 ? random_.u32() : 100);
        header.checksum_start =
            static_cast<std::uint16_t>(random_.below(3) == 0 ? random_.u32() : 20);
        header.checksum_offset =
            static_cast<std::uint16_t>(random_.below(3) == 0 ? random_.u32() : 6);
        from_tun(mutated(any_inner(true)), header);
        break;
      }
      default: {
        Handoff handoff;
        handoff.kind = random_.below(2) == 0 ? Handoff::Kind::datagram : Handoff::Kind::inner;
        const auto bytes = mutated(
            handoff.kind == Handoff::Kind::inner ? any_inner(true) : client.seal(any_inner(false)));
        handoff.length =
            static_cast<std::uint16_t>(std::min<std::size_t>(bytes.size(), handoff.bytes.size()));
        std::copy_n(bytes.begin(), handoff.length, handoff.bytes.begin());
        pipeline_.on_handoff(handoff, now_);
        if (random_.below(4) == 0) pipeline_.flush(now_);
      }
    }
    out_.events.clear();
    out_.punts.clear();
    out_.sent.clear();
    out_.tun.clear();
  }
  pipeline_.flush(now_);
  EXPECT_GT(pipeline_.counters().to_resources, 0U);
  EXPECT_GT(pipeline_.counters().to_clients, 0U);
}

// Counts nothing of its own: what it is given is dropped.
class Sink final : public Output {
 public:
  void write_tun(const TunWrite&) noexcept override {}
  void transmit(std::span<const OutgoingDatagrams>) noexcept override {}
  Event* reserve_event(bool) noexcept override { return &event_; }
  Punt* reserve_punt(PuntClass) noexcept override { return &punt_; }
  Handoff* reserve_handoff(WorkerIndex) noexcept override { return &handoff_; }
  flow::Event* reserve_flow_event() noexcept override { return &flow_event_; }
  void publish() noexcept override {}

 private:
  Event event_;
  flow::Event flow_event_;
  Punt punt_;
  Handoff handoff_;
};

TEST_F(Abuse, PacketsAllocateNothing) {
  Sink sink;
  Pipeline p{{.workers = 2, .clients_max = 8}, engine_, sink};
  RemoteClient client{engine_, ClientSlot{1}, make_receiver_index(WorkerIndex{0}, 9, 1), 5, now_};
  p.apply(AddClient{ClientSlot{1}, tunnel_v4(1), tunnel_v6(1), allow_all_.get()}, now_);
  p.apply(SetPath{ClientSlot{1}, {Path::Kind::direct, ip("198.51.100.1"), remote(1), {}}}, now_);
  p.apply(SetTunnelOwner{tunnel_v4(2), WorkerIndex{1}}, now_);
  p.apply(client.install(), now_);
  p.flush(now_);
  std::vector<ByteVector> datagrams;
  for (int i = 0; i < 300; ++i)
    datagrams.push_back(client.seal(i % 3 == 0 ? request(2) : request(1)));
  datagrams.push_back(client.keepalive());
  datagrams.push_back(ByteVector(148, 0));
  datagrams.back()[0] = 1;
  std::vector<ReceivedDatagrams> batch;
  for (auto& d : datagrams) {
    batch.push_back({.bytes = d,
                     .segment = static_cast<std::uint16_t>(d.size()),
                     .ecn = 0,
                     .from = remote(1),
                     .local = {}});
  }
  std::vector<ByteVector> reads;
  std::vector<TunRead> tun;
  for (int i = 0; i < 200; ++i) {
    reads.emplace_back(kVnetHeaderSize);
    const auto packet = reply(i % 5 == 0 ? 2 : 1);
    reads.back().insert(reads.back().end(), packet.begin(), packet.end());
  }
  for (auto& r : reads) tun.push_back({r});

  const auto before = allocations.load();
  p.on_datagrams(batch, now_);
  p.on_tun(tun, now_);
  p.on_timeout(now_ + 20s);
  p.on_datagrams(batch, now_ + 20s);
  EXPECT_EQ(allocations.load(), before);
  expect_conserved(p);
}

TEST_F(Abuse, NorDoThoseThatBeginFlows) {
  Sink sink;
  Pipeline p{{.clients_max = 8}, engine_, sink};
  RemoteClient client{engine_, ClientSlot{1}, make_receiver_index(WorkerIndex{0}, 9, 1), 5, now_};
  const auto names =
      nat::Translations::compile({{ip("100.96.0.1"), ip("192.0.2.1"), nat::NameId{1}}}, false);
  p.apply(AddClient{ClientSlot{1}, tunnel_v4(1), tunnel_v6(1), allow_all_.get()}, now_);
  p.apply(SetTranslations{ClientSlot{1}, names.get(), false}, now_);
  p.apply(SetFlowTracking{true}, now_);
  p.apply(client.install(), now_);
  p.flush(now_);
  std::uint16_t port = 0;
  for (int turn = 0; turn < 40; ++turn) {
    std::vector<ByteVector> datagrams;
    std::vector<ReceivedDatagrams> batch;
    for (int i = 0; i < 200; ++i) {
      datagrams.push_back(
          client.seal(udp().from(tunnel_v4(1), ++port).to("100.96.0.1", 80).build()));
    }
    for (auto& d : datagrams) {
      batch.push_back({.bytes = d,
                       .segment = static_cast<std::uint16_t>(d.size()),
                       .ecn = 0,
                       .from = remote(1),
                       .local = {}});
    }
    const auto before = allocations.load();
    p.on_datagrams(batch, now_);
    EXPECT_EQ(allocations.load(), before);
    // Between batches, as its worker does.
    while (p.wakeup() && p.wakeup()->at <= now_ + 1ms) p.on_timeout(now_ += 1ms);
  }
  EXPECT_EQ(p.counters().to_resources, 8000U);
  expect_conserved(p);
}

}  // namespace
}  // namespace fg::pipeline::testing
