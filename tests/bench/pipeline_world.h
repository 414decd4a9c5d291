// A worker's pipeline with its clients, and batches of packets for it in both directions. Built
// with the cipher or without (null_crypto). Sealing for it and opening are not what is measured;
// they touch as little memory as they can, because what they touch the pipeline finds no more in
// the cache.
#pragma once

#include <algorithm>
#include <cstring>
#include <ctime>
#include <memory>
#include <vector>

#include "base/random.h"
#include "filter/policy.h"
#include "packet/vnet_header.h"
#include "pipeline/pipeline.h"
#include "tests/support/packets.h"
#include "wireguard/session.h"

namespace fg::bench {

inline constexpr std::size_t kBatch = 64;
inline const Instant kNow{std::chrono::hours{1}};
inline const IpAddress kProxy = IpAddress::v4(100, 96, 0, 1);

inline Instant clock_now(clockid_t id = CLOCK_MONOTONIC) {
  timespec t{};
  ::clock_gettime(id, &t);
  return Instant{std::chrono::seconds{t.tv_sec} + std::chrono::nanoseconds{t.tv_nsec}};
}

// What the gateway would use on this machine.
inline const crypto::AeadReport& best_cipher() {
  static const auto report = crypto::choose_aead([] { return clock_now(); });
  return report;
}

inline IpAddress tunnel_of(std::uint32_t n) {
  return IpAddress::v4(100, 64, static_cast<std::uint8_t>(n >> 8), static_cast<std::uint8_t>(n));
}

inline IpAddress network_of(std::uint32_t rule, std::uint8_t host) {
  return IpAddress::v4(10, static_cast<std::uint8_t>(rule >> 8), static_cast<std::uint8_t>(rule),
                       host);
}

inline std::unique_ptr<const filter::Policy> policy_of(std::uint32_t rules) {
  filter::PolicyRules out;
  filter::RuleFilter filter;
  filter.tcp = {{80, 80}, {443, 443}, {8000, 9000}};
  for (std::uint32_t i = 0; i < rules; ++i)
    out.rules.push_back({Cidr{network_of(i, 0), 24}, ResourceId{}, filter});
  out.rules.push_back({Cidr{kProxy, 32}, ResourceId{}, filter});
  return filter::Policy::compile(out);
}

inline wireguard::SessionKeys keys_of(ReceiverIndex index, bool ours, Instant now) {
  wireguard::SessionKeys k;
  k.local_index = ours ? index : ReceiverIndex{7};
  k.remote_index = ours ? 7 : number(index);
  k.role = ours ? wireguard::Role::responder : wireguard::Role::initiator;
  k.established = now;
  return k;
}

struct Shape {
  std::size_t bytes = 1280;
  std::uint32_t clients = 1;
  std::uint32_t rules = 1;
  std::uint32_t flows = 1;     // of each client, by source port
  bool is_translated = false;  // to a proxy address that stands for destination 0
  bool is_tracked = false;     // for flow logs
};

// TCP streams of all clients, each going on where it was.
class Streams {
 public:
  // `first`: clients of other streams come before.
  Streams(const Shape& shape, crypto::AeadEngine& engine, WorkerIndex worker = WorkerIndex{0},
          std::uint32_t first = 0, std::uint64_t seed = 1)
      : shape_(shape), worker_(worker), first_(first), order_(1 << 16) {
    for (std::uint32_t n = 0; n < shape.clients; ++n) {
      peers_.emplace_back(keys_of(index_of(n), false, kNow), engine);
      for (std::uint32_t flow = 0; flow < shape.flows; ++flow) {
        heads_.push_back(head(test::tcp()
                                  .from(tunnel(n), port_of(flow))
                                  .to(shape.is_translated ? kProxy : destination(n), 443)
                                  .payload_size(shape.bytes - kHead)
                                  .build()));
        reads_.push_back(head(test::tcp()
                                  .from(destination(n), 443)
                                  .to(tunnel(n), port_of(flow))
                                  .payload_size(shape.bytes - kHead)
                                  .build()));
      }
    }
    SeededRandom random{seed};
    for (auto& k : order_) k = random.below(static_cast<std::uint32_t>(heads_.size()));
    payload_ = test::counting(shape.bytes - kHead);
    buffer_.resize(kBatch * (shape.bytes + 32));
    arena_.resize(kBatch * 2048);
  }

  [[nodiscard]] const Shape& shape() const { return shape_; }
  [[nodiscard]] std::size_t size() const { return heads_.size(); }
  [[nodiscard]] IpAddress tunnel(std::uint32_t n) const { return tunnel_of(first_ + n); }
  [[nodiscard]] ReceiverIndex index_of(std::uint32_t n) const {
    return pipeline::make_receiver_index(worker_, ((first_ + n) * 2654435761U) & 0xFFFFF, 1);
  }
  [[nodiscard]] std::vector<pipeline::Command> commands(const filter::Policy* policy,
                                                        const nat::Translations* translations,
                                                        Instant now) const {
    std::vector<pipeline::Command> out;
    for (std::uint32_t n = 0; n < shape_.clients; ++n) {
      const ClientSlot slot{n};
      out.emplace_back(pipeline::AddClient{slot, tunnel(n), IpAddress::v6({}), policy});
      out.emplace_back(pipeline::SetPath{
          slot,
          {pipeline::Path::Kind::direct, IpAddress::v4(198, 51, 100, 1), {tunnel(n), 4000}, {}}});
      out.emplace_back(pipeline::InstallSession{slot, keys_of(index_of(n), true, now)});
      if (shape_.is_translated)
        out.emplace_back(pipeline::SetTranslations{slot, translations, false});
    }
    return out;
  }
  [[nodiscard]] nat::Translation translation() const {
    return {kProxy, destination(0), nat::NameId{1}};
  }

  // 64 sealed packets: of this stream and those after it, or at random. Of one client they come as
  // one receive.
  std::span<ReceivedDatagrams> sealed(std::optional<std::size_t> at = {}) {
    batch_.clear();
    const auto message_size = shape_.bytes + 32;
    for (std::size_t i = 0; i < kBatch; ++i) {
      const auto k = at ? (*at + i) % heads_.size() : next();
      auto* message = buffer_.data() + i * message_size;
      write(heads_[k], message + 16);
      (void)peers_[k / shape_.flows].seal(message, shape_.bytes);
      if (shape_.clients == 1) continue;
      batch_.push_back(received({message, message_size}));
    }
    if (shape_.clients == 1) batch_.push_back(received(buffer_));
    return batch_;
  }
  // 64 packets of the TUN device, as warm as what the kernel just copied.
  std::span<TunRead> reads(std::optional<std::size_t> at = {}) {
    reads_batch_.resize(kBatch);
    for (std::size_t i = 0; i < kBatch; ++i) {
      auto* read = arena_.data() + i * 2048;
      std::fill_n(read, kVnetHeaderSize, std::uint8_t{0});
      write(reads_[at ? (*at + i) % reads_.size() : next()], read + kVnetHeaderSize);
      reads_batch_[i].bytes = {read, kVnetHeaderSize + shape_.bytes};
    }
    return reads_batch_;
  }
  // As many packets as a super-packet holds.
  ByteVector super_packet() const {
    const auto payload = shape_.bytes - kHead;
    ByteVector read(kVnetHeaderSize);
    packet::VnetHeader{.flags = 1,
                       .gso_type = packet::VnetHeader::kGsoTcpV4,
                       .header_length = kHead,
                       .gso_size = static_cast<std::uint16_t>(payload),
                       .checksum_start = 20,
                       .checksum_offset = 16}
        .store(read.data());
    const auto whole = test::tcp()
                           .from(destination(0), 443)
                           .to(tunnel(0), port_of(0))
                           .payload_size(payload * std::min<std::size_t>(50, 65'000 / payload))
                           .build();
    read.insert(read.end(), whole.begin(), whole.end());
    return read;
  }

 private:
  static constexpr std::uint16_t kHead = 40;
  using Head = std::array<std::uint8_t, kHead>;

  static std::uint16_t port_of(std::uint32_t flow) {
    return static_cast<std::uint16_t>(5000 + flow);
  }
  [[nodiscard]] IpAddress destination(std::uint32_t n) const {
    return network_of(n * 7919U % shape_.rules, 9);
  }
  static Head head(const ByteVector& packet) {
    Head out;
    std::copy_n(packet.begin(), kHead, out.begin());
    return out;
  }
  [[nodiscard]] ReceivedDatagrams received(MutableBytes bytes) const {
    return {.bytes = bytes,
            .segment = static_cast<std::uint16_t>(shape_.bytes + 32),
            .ecn = 0,
            .from = {},
            .local = {}};
  }
  std::size_t next() { return order_[next_++ % order_.size()]; }

  // The stream's next segment.
  void write(Head& head, std::uint8_t* to) const {
    std::memcpy(to, head.data(), kHead);
    std::memcpy(to + kHead, payload_.data(), payload_.size());
    auto sum = std::uint32_t{static_cast<std::uint16_t>(~load_be16(head.data() + 36))} +
               (0xFFFFU - test::naive_sum(Bytes{head}.subspan(24, 4)));
    store_be32(head.data() + 24,
               load_be32(head.data() + 24) + static_cast<std::uint32_t>(payload_.size()));
    sum = test::naive_sum(Bytes{head}.subspan(24, 4), sum);
    while (sum > 0xFFFF) sum = (sum & 0xFFFF) + (sum >> 16);
    store_be16(head.data() + 36, static_cast<std::uint16_t>(~sum));
  }

  Shape shape_;
  WorkerIndex worker_;
  std::uint32_t first_;
  std::vector<wireguard::Session> peers_;
  std::vector<Head> heads_;
  std::vector<Head> reads_;
  std::vector<std::uint32_t> order_;
  std::size_t next_ = 0;
  ByteVector payload_;
  ByteVector buffer_;
  ByteVector arena_;
  std::vector<ReceivedDatagrams> batch_;
  std::vector<TunRead> reads_batch_;
};

}  // namespace fg::bench
