// One worker's packet path under commands, datagrams, TUN packets and hand-overs of any kind.
// Sessions are real, so that packets from bytes get past decryption. Nothing is lost uncounted,
// nothing leaves that is no packet, and no client speaks with another's address.
#include <deque>
#include <memory>

#include "filter/policy.h"
#include "packet/channel_data.h"
#include "packet/control_message.h"
#include "packet/segment.h"
#include "pipeline/pipeline.h"
#include "tests/fuzz/support.h"
#include "tests/support/packets.h"

namespace {

using namespace fg;
using namespace fg::pipeline;

constexpr std::size_t kClients = 3;

IpAddress tunnel_v4(std::size_t n) {
  return IpAddress::v4(100, 64, 0, static_cast<std::uint8_t>(100 + n));
}
IpAddress tunnel_v6(std::size_t n) {
  std::array<std::uint8_t, 16> bytes{0xfd, 0x00, 0x20, 0x21, 0x11, 0x11};
  bytes[15] = static_cast<std::uint8_t>(100 + n);
  return IpAddress::v6(bytes);
}
bool is_client(const IpAddress& ip) {
  for (std::size_t n = 0; n < kClients; ++n) {
    if (ip == tunnel_v4(n) || ip == tunnel_v6(n)) return true;
  }
  return false;
}
SocketAddress remote(std::size_t n) {
  return {IpAddress::v4(203, 0, 113, static_cast<std::uint8_t>(n)), 4000};
}
const SocketAddress kRelay{IpAddress::v4(198, 51, 100, 30), 3478};
const SocketAddress kLocal{IpAddress::v4(198, 51, 100, 1), 52625};

filter::PolicyRules rules() {
  filter::Rule all{.network = Cidr{IpAddress::v4(10, 0, 0, 0), 8}, .resource = {}, .filter = {}};
  all.filter.everything = true;
  filter::Rule web{.network = Cidr{IpAddress::v6({0x20, 0x01}), 16}, .resource = {}, .filter = {}};
  web.filter.tcp = {{80, 80}};
  web.filter.udp = {{53, 99}};
  return {.rules = {all, web}, .internet = {}};
}

// Rings of a few places, so that full ones are met.
class Recorder final : public Output {
 public:
  struct Sent {
    SocketAddress to;
    ByteVector bytes;
  };
  std::vector<Sent> sent;
  std::size_t written = 0;
  std::size_t sender = 0;  // the client whose datagrams are being looked at
  std::deque<Event> events;
  std::deque<Punt> punts;
  std::deque<Handoff> handoffs;

  void write_tun(const TunWrite& write) noexcept override {
    ByteVector whole;
    for (const auto part : write.parts) whole.insert(whole.end(), part.begin(), part.end());
    const auto parsed = packet::InnerPacket::parse(whole, packet::kSuperPacketMax);
    FG_LAW(parsed &&
           (parsed->source() == tunnel_v4(sender) || parsed->source() == tunnel_v6(sender)));
    FG_LAW(!is_client(parsed->destination()));
    FG_LAW(!parsed->has_multicast_destination() && !parsed->is_forbidden_icmp());
    const auto segments =
        packet::Segments::of(packet::VnetHeader::load(write.header.data()), *parsed);
    FG_LAW(segments && segments->count() == write.packets);
    written += write.packets;
  }
  void transmit(std::span<const OutgoingDatagrams> batch) noexcept override {
    for (const auto& d : batch) {
      FG_LAW(d.segment != 0 && d.count() <= kSegmentsMax && d.bytes.size() <= kUdpPayloadMax);
      for (std::size_t i = 0; i < d.bytes.size(); i += d.segment) {
        sent.push_back({d.to, copy_of(d.bytes.subspan(
                                  i, std::min<std::size_t>(d.segment, d.bytes.size() - i)))});
      }
    }
  }
  Event* reserve_event(bool) noexcept override {
    return events.size() < 8 ? &events.emplace_back() : nullptr;
  }
  Punt* reserve_punt(PuntClass) noexcept override {
    return punts.size() < 4 ? &punts.emplace_back() : nullptr;
  }
  Handoff* reserve_handoff(WorkerIndex to) noexcept override {
    FG_LAW(number(to) == 1);
    return handoffs.size() < 4 ? &handoffs.emplace_back() : nullptr;
  }
  void publish() noexcept override {}
};

Secret<32> key(std::uint8_t n) {
  std::array<std::uint8_t, 32> bytes{};
  bytes.fill(n);
  return Secret<32>{bytes};
}

class World {
 public:
  explicit World(Bytes input)
      : choices_(input),
        policy_(filter::Policy::compile(rules())),
        pipeline_(
            {.worker = WorkerIndex{0}, .workers = 2, .clients_max = 4, .offloads = {}, .seed = 1},
            engine_, out_) {
    apply(SetGatewayAddresses{IpAddress::v4(100, 64, 0, 1), {}});
    apply(SetRelay{RelaySlot{0}, kRelay});
    for (std::size_t n = 0; n + 1 < kClients; ++n) {
      add(n);
      set_path(n,
               n == 0 ? direct(n) : Path{Path::Kind::relayed, {}, kRelay, ChannelNumber{0x4001}});
      install(n, wireguard::Role::responder);
    }
    apply(SetChannel{RelaySlot{0}, ChannelNumber{0x4001}, true});
    apply(SetTunnelOwner{tunnel_v4(kClients), WorkerIndex{1}});
  }

  void run() {
    while (!choices_.empty()) {
      step();
      check();
    }
  }

 private:
  struct Far {
    wireguard::Session session;
    ReceiverIndex gateway_index;
  };

  void apply(Command command) {
    pipeline_.apply(std::move(command), now_);
    pipeline_.flush(now_);
  }
  void add(std::size_t n) {
    if (present_[n]) return;
    present_[n] = true;
    apply(AddClient{ClientSlot{static_cast<std::uint32_t>(n)}, tunnel_v4(n), tunnel_v6(n),
                    policy_.get()});
  }
  static Path direct(std::size_t n) { return {Path::Kind::direct, kLocal.ip, remote(n), {}}; }
  void set_path(std::size_t n, const Path& path) {
    apply(SetPath{ClientSlot{static_cast<std::uint32_t>(n)}, path});
  }
  void install(std::size_t n, wireguard::Role role) {
    if (!present_[n]) return;
    const auto slot = static_cast<std::uint8_t>(next_handshake_++ % 8);
    const auto index =
        make_receiver_index(WorkerIndex{0}, static_cast<std::uint32_t>(0x100 + n), slot);
    const auto own = static_cast<std::uint32_t>(0xC0FFEE00 + 16 * n + slot);
    const auto a = static_cast<std::uint8_t>(16 * n + slot);
    const auto b = static_cast<std::uint8_t>(a + 128);
    const auto other = role == wireguard::Role::initiator ? wireguard::Role::responder
                                                          : wireguard::Role::initiator;
    far_[n] = std::make_unique<Far>(Far{wireguard::Session{{.local_index = ReceiverIndex{own},
                                                            .remote_index = number(index),
                                                            .send = key(b),
                                                            .receive = key(a),
                                                            .role = other,
                                                            .established = now_},
                                                           engine_},
                                        index});
    apply(InstallSession{ClientSlot{static_cast<std::uint32_t>(n)},
                         {.local_index = index,
                          .remote_index = own,
                          .send = key(a),
                          .receive = key(b),
                          .role = role,
                          .established = now_}});
  }

  void step() {
    switch (choices_.below(10)) {
      case 0:
        return from_clients();
      case 1:
        return datagram(copy_of(choices_.bytes()), choices_.flag() ? kRelay : remote(0));
      case 2:
        return repeat();
      case 3:
        return from_tun();
      case 4:
        return command();
      case 5:
        now_ += choices_.pause();
        return pipeline_.on_timeout(now_);
      case 6:
        return run_timers();
      case 7:
        return handoff();
      case 8:  // the other side takes what is in the rings
        out_.events.clear();
        out_.punts.clear();
        out_.handoffs.clear();
        return pipeline_.flush(now_);
      default:
        return from_tun();
    }
  }

  // A packet from bytes, or a well-formed one between addresses that mean something.
  ByteVector packet(bool inbound, std::size_t n) {
    const auto what = choices_.u8();
    if ((what & 7) == 7) return copy_of(choices_.bytes());
    if (what == 6) return copy_of(packet::goodbye_packet());
    const bool v6 = (what & 0x40) != 0;
    const auto client = v6 ? tunnel_v6(n) : tunnel_v4(n);
    std::array<std::uint8_t, 16> wide{0x20, 0x01, 0x0d, 0xb8};
    wide[15] = what;
    const auto resource =
        v6 ? IpAddress::v6(wide) : IpAddress::v4((what & 0x30) == 0x30 ? 224 : 10, 1, 2, what & 3);
    using Kind = test::PacketBuilder::Kind;
    constexpr std::array kKinds{Kind::tcp, Kind::udp, Kind::echo, Kind::icmp, Kind::other};
    test::PacketBuilder builder{kKinds[what % kKinds.size()]};
    const auto port = static_cast<std::uint16_t>(80 + (choices_.u8() & 1));
    if (inbound)
      builder.from(client, 5000).to(resource, port);
    else
      builder.from(resource, port).to(client, 5000);
    return builder.payload_size(choices_.u8() * (choices_.flag() ? 6U : 1U)).build();
  }

  void from_clients() {
    const auto n = choices_.below(kClients);
    if (!far_[n]) return;
    out_.sender = n;
    ByteVector buffer;
    std::size_t segment = 0;
    std::size_t last = 0;
    // Back to back as GRO delivers them: all of one length but the last.
    for (auto count = 1 + choices_.below(4); count > 0; --count) {
      auto inner = packet(true, choices_.flag() ? n : choices_.below(kClients));
      if (inner.size() > 1400) inner.resize(1400);
      const auto length = inner.size() + wireguard::kDataOverhead;
      if (segment != 0 && (length > segment || last != segment)) break;
      if (segment == 0) segment = length;
      last = length;
      ByteVector message(length);
      std::ranges::copy(inner, message.begin() + wireguard::kDataHeaderSize);
      if (!far_[n]->session.seal(message.data(), inner.size())) return;
      if (n == 1) {  // by its relay
        ByteVector framed(packet::kChannelHeader);
        packet::write_channel_header(framed.data(), ChannelNumber{0x4001},
                                     static_cast<std::uint16_t>(length));
        framed.insert(framed.end(), message.begin(), message.end());
        datagram(std::move(framed), kRelay);
        segment = 0;
        continue;
      }
      buffer.insert(buffer.end(), message.begin(), message.end());
    }
    if (!buffer.empty()) datagrams(std::move(buffer), segment, remote(n));
  }

  void datagram(ByteVector bytes, const SocketAddress& from) {
    const auto size = bytes.size();
    if (size != 0) datagrams(std::move(bytes), size, from);
  }
  void datagrams(ByteVector bytes, std::size_t segment, const SocketAddress& from) {
    last_ = bytes;
    last_segment_ = segment;
    ReceivedDatagrams batch{.bytes = bytes,
                            .segment = static_cast<std::uint16_t>(segment),
                            .ecn = static_cast<std::uint8_t>(choices_.u8() & 3),
                            .from = from,
                            .local = kLocal};
    pipeline_.on_datagrams({&batch, 1}, now_);
  }
  // What was not accepted before may be accepted late; then a copy is a replay, and a damaged one
  // does not authenticate.
  void repeat() {
    if (last_.empty()) return;
    const auto from = load_be16(last_.data()) >> 12 == 4 ? kRelay : remote(0);
    auto again = last_;
    const auto segment = last_segment_;
    datagrams(again, segment, from);
    const auto written = out_.written;
    if (choices_.flag())
      again[choices_.u8() % again.size()] ^= static_cast<std::uint8_t>(choices_.u8() | 1);
    datagrams(again, segment, from);
    FG_LAW(out_.written == written);
  }

  void from_tun() {
    std::vector<ByteVector> reads;
    for (auto count = 1 + choices_.below(4); count > 0; --count) {
      auto inner = packet(false, choices_.below(kClients + 1));
      packet::VnetHeader header;
      if (choices_.below(4) == 0) {
        const auto raw = choices_.take(kVnetHeaderSize);
        if (raw.size() == kVnetHeaderSize) header = packet::VnetHeader::load(raw.data());
      }
      auto& read = reads.emplace_back(kVnetHeaderSize);
      header.store(read.data());
      read.insert(read.end(), inner.begin(), inner.end());
      if (choices_.below(8) == 7) read.resize(choices_.below(read.size() + 1));
    }
    std::vector<TunRead> batch;
    for (auto& read : reads) batch.push_back({read});
    pipeline_.on_tun(batch, now_);
  }

  void command() {
    const auto n = choices_.below(kClients);
    const ClientSlot slot{static_cast<std::uint32_t>(n)};
    switch (choices_.below(8)) {
      case 0:
        return add(n);
      case 1:
        present_[n] = false;
        far_[n].reset();
        return apply(RemoveClient{slot});
      case 2:
        return install(n,
                       choices_.flag() ? wireguard::Role::initiator : wireguard::Role::responder);
      case 3:
        return set_path(n, choices_.flag() ? direct(n) : Path{});
      case 4:
        return apply(SetPolicy{slot, policy_.get()});
      case 5:
        return apply(SetChannel{RelaySlot{0}, ChannelNumber{0x4001}, choices_.flag()});
      case 6:
        return apply(
            SetRelay{RelaySlot{0}, choices_.flag() ? std::optional{kRelay} : std::nullopt});
      default: {
        SendInner send{.slot = slot, .length = 0, .bytes = {}};
        const auto bytes = choices_.bytes();
        send.length = static_cast<std::uint16_t>(bytes.size());
        std::ranges::copy(bytes, send.bytes.begin());
        return apply(std::move(send));
      }
    }
  }

  void handoff() {
    Handoff handoff;
    handoff.kind = choices_.flag() ? Handoff::Kind::datagram : Handoff::Kind::inner;
    auto bytes = handoff.kind == Handoff::Kind::inner ? packet(false, choices_.below(kClients))
                                                      : copy_of(choices_.bytes());
    bytes.resize(std::min(bytes.size(), handoff.bytes.size()));
    handoff.length = static_cast<std::uint16_t>(bytes.size());
    std::ranges::copy(bytes, handoff.bytes.begin());
    for (auto count = 1 + choices_.u8() % 80; count > 0; --count)
      pipeline_.on_handoff(handoff, now_);
    pipeline_.flush(now_);
  }

  void run_timers() {
    for (auto n = choices_.below(16); n > 0; --n) {
      const auto wakeup = pipeline_.wakeup();
      if (!wakeup) return;
      now_ = std::max(now_, wakeup->at);
      pipeline_.on_timeout(now_);
    }
  }

  void check() {
    for (auto& datagram : out_.sent) check(datagram);
    out_.sent.clear();
    const auto& c = pipeline_.counters();
    FG_LAW(c.datagrams_in + c.tun_in + c.handoffs_in + c.generated + c.fragments_given_up ==
           c.fragments_kept + c.checks_answered + c.to_resources + c.to_clients + c.keepalives_in +
               c.probes_in + c.probes_out + c.punted + c.handed_over + c.drops.total());
    FG_LAW(c.to_resources == out_.written && pipeline_.clients() <= kClients);
  }
  // It is for the client whose session it is under, and holds one packet to it.
  void check(Recorder::Sent& datagram) {
    MutableBytes message = datagram.bytes;
    if (const auto framed = packet::ChannelData::parse(datagram.bytes)) {
      FG_LAW(datagram.to == kRelay);
      message = message.subspan(packet::kChannelHeader);
    }
    FG_LAW(wireguard::classify(message) == wireguard::MessageType::data &&
           message.size() <= packet::kDatagramMax);
    for (std::size_t n = 0; n < kClients; ++n) {
      if (!far_[n] || wireguard::data_receiver(message.data()) != far_[n]->session.local_index())
        continue;
      if (!far_[n]->session.can_receive(now_)) return;
      const auto opened = far_[n]->session.open(message, now_);
      FG_LAW(opened.status == wireguard::OpenStatus::ok);
    }
  }

  fuzz::Choices choices_;
  crypto::AeadEngine engine_;
  Recorder out_;
  std::unique_ptr<const filter::Policy> policy_;
  Instant now_ = fuzz::kStart;
  Pipeline pipeline_;
  std::array<std::unique_ptr<Far>, kClients> far_;
  std::array<bool, kClients> present_{};
  unsigned next_handshake_ = 0;
  ByteVector last_;
  std::size_t last_segment_ = 1;
};

void run(Bytes input) { World{input}.run(); }

}  // namespace

FG_FUZZ_TARGET(run)
