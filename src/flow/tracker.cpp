#include "flow/tracker.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "base/bytes.h"

namespace fg::flow {
namespace {

constexpr std::size_t kShareCells = 65'536;
constexpr std::uint8_t kFin = 0x01;  // RFC 9293 §3.1
constexpr std::uint8_t kSyn = 0x02;
constexpr std::uint8_t kRst = 0x04;
constexpr std::uint8_t kAck = 0x10;
constexpr std::int64_t kIdleSeconds =
    std::chrono::duration_cast<std::chrono::seconds>(kIdleMax).count();

std::int64_t second_of(Instant at) {
  return std::chrono::duration_cast<std::chrono::seconds>(at.time_since_epoch()).count();
}

void add(std::atomic<std::uint64_t>& counter, std::uint64_t n) noexcept {
  counter.store(counter.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
}

void mix(std::uint64_t& h, std::uint64_t v) {
  h = (h ^ v) * 0x9E3779B97F4A7C15ULL;
  h ^= h >> 29;
}
void mix(std::uint64_t& h, const std::array<std::uint8_t, 16>& bytes) {
  mix(h, load_le64(bytes.data()));
  mix(h, load_le64(bytes.data() + 8));
}

// Spec policy 6.3: what ends a connection, or only acknowledges, opens none.
bool opens(const Key& key, const Traffic& traffic) {
  if (key.protocol != Protocol::tcp) return true;
  if ((traffic.tcp_flags & (kFin | kRst)) != 0) return false;
  const bool is_bare_ack =
      (traffic.tcp_flags & (kAck | kSyn)) == kAck && traffic.payload_bytes == 0;
  return !is_bare_ack;
}

}  // namespace

void Tracker::set(bool is_on, Instant now) {
  if (is_on == is_on_) return;
  is_on_ = is_on;
  is_draining_ = !is_on;
  drain_at_ = 0;
  again_ = is_draining_ ? std::optional{now} : std::nullopt;
  if (!is_on || !entries_.empty()) return;
  entries_.resize(flows_max_);
  free_.resize(flows_max_);
  open_of_.resize(kShareCells);
  for (std::size_t i = 0; i < flows_max_; ++i)
    free_[i] = static_cast<std::uint32_t>(flows_max_ - 1 - i);
  mask_ = std::bit_ceil(flows_max_ * 2) - 1;
  cells_.resize(mask_ + 1);
  buckets_.fill(kNone);
  swept_ = second_of(now);
}

void Tracker::prefetch_flow(Hash hash) const noexcept {
  for (std::size_t i = hash & mask_; cells_[i].entry != kNone; i = (i + 1) & mask_) {
    if (cells_[i].hash != hash) continue;
    const void* entry = &entries_[cells_[i].entry];
    for (std::size_t at = 0; at < 3 * 64; at += 64)
      __builtin_prefetch(static_cast<const std::uint8_t*>(entry) + at, 1);
    return;
  }
}

void Tracker::on_tx(const Key& key, Hash hash, const OuterPath& path, const Traffic& traffic,
                    std::uint32_t name, Instant now) noexcept {
  const auto at = find(key, hash);
  if (at == kNone) {
    if (opens(key, traffic)) (void)open(key, hash, path, traffic, name, now);
    return;
  }
  auto& entry = entries_[at];
  const bool is_new_connection =
      key.protocol == Protocol::tcp && (traffic.tcp_flags & kSyn) != 0 && entry.is_established;
  const bool is_elsewhere = entry.path != path;
  if (entry.is_ended) {
    if (complete(at, entry.last) && opens(key, traffic))
      (void)open(key, hash, path, traffic, name, now);
    return;
  }
  if (is_new_connection || (is_elsewhere && entry.paths == kPathsMax)) {
    if (complete(at, now)) (void)open(key, hash, path, traffic, name, now);
    return;
  }
  if (is_elsewhere) (void)report_path(at, path, now);
  count_tx(at, traffic, now);
}

void Tracker::count_tx(std::uint32_t at, const Traffic& traffic, Instant now) noexcept {
  auto& entry = entries_[at];
  entry.tx_packets += traffic.packets;
  entry.tx_bytes += traffic.payload_bytes;
  entry.last = now;
  if (entry.key.protocol != Protocol::tcp) return;
  if ((traffic.tcp_flags & kSyn) == 0) entry.is_established = true;
  if ((traffic.tcp_flags & kFin) != 0) entry.has_fin_tx = true;
  if ((traffic.tcp_flags & kRst) != 0) entry.is_ended = true;
  if ((traffic.tcp_flags & (kFin | kRst)) != 0) on_ending_flags(at, now);
}

void Tracker::on_rx(const Key& key, Hash hash, const Traffic& traffic, Instant now) noexcept {
  const auto at = find(key, hash);
  if (at == kNone || entries_[at].is_ended) return;
  auto& entry = entries_[at];
  entry.rx_packets += traffic.packets;
  entry.rx_bytes += traffic.payload_bytes;
  entry.last = now;
  if (key.protocol != Protocol::tcp || (traffic.tcp_flags & (kFin | kRst)) == 0) return;
  if ((traffic.tcp_flags & kFin) != 0) entry.has_fin_rx = true;
  if ((traffic.tcp_flags & kRst) != 0) entry.is_ended = true;
  on_ending_flags(at, now);
}

// RST ends at once, FIN both ways at the next sweep, so that the last acknowledgement still counts.
void Tracker::on_ending_flags(std::uint32_t at, Instant now) noexcept {
  auto& entry = entries_[at];
  if (entry.is_ended && complete(at, now)) return;
  if (!entry.is_ended && !(entry.has_fin_tx && entry.has_fin_rx)) return;
  unlink(at);
  link(at, std::max(second_of(now), swept_) + 1);
}

bool Tracker::open(const Key& key, std::uint32_t hash, const OuterPath& path,
                   const Traffic& traffic, std::uint32_t name, Instant now) noexcept {
  if (free_.empty()) {
    add(counters_.table_full, 1);
    return false;
  }
  auto& of_client = open_of(key.client);
  if (of_client >= flows_max_ / kShares) {
    add(counters_.share_full, 1);
    return false;
  }
  auto* event = reserve();
  if (event == nullptr) return false;
  const auto at = free_.back();
  free_.pop_back();
  auto& entry = entries_[at];
  entry = {};
  entry.key = key;
  entry.path = path;
  entry.hash = hash;
  entry.is_used = true;
  entry.last = now;
  insert(at);
  link(at, second_of(now) + kIdleSeconds + 1);
  add(counters_.open, 1);
  ++of_client;
  *event = {at, now, Started{key, path, name}};
  count_tx(at, traffic, now);
  return true;
}

bool Tracker::report_path(std::uint32_t at, const OuterPath& path, Instant now) noexcept {
  auto* event = reserve();
  if (event == nullptr) return false;  // the next packet tries again
  auto& entry = entries_[at];
  entry.path = path;
  ++entry.paths;
  *event = {at, now, PathChanged{path}};
  return true;
}

bool Tracker::complete(std::uint32_t at, Instant end) noexcept {
  auto* event = reserve();
  if (event == nullptr) return false;
  auto& entry = entries_[at];
  *event = {
      at, end,
      Completed{entry.last, entry.rx_packets, entry.tx_packets, entry.rx_bytes, entry.tx_bytes}};
  unlink(at);
  erase(at);
  entry.is_used = false;
  --open_of(entry.key.client);
  free_.push_back(at);
  add(counters_.open, ~std::uint64_t{0});
  return true;
}

Event* Tracker::reserve() noexcept {
  auto* event = sink_.reserve_flow_event();
  if (event == nullptr)
    add(counters_.ring_full, 1);
  else
    reported_ = true;
  return event;
}

void Tracker::on_timeout(Instant now) noexcept {
  if (entries_.empty()) return;
  again_.reset();
  if (is_draining_) return drain(now);
  const auto second = second_of(now);
  swept_ = std::max(swept_, second - static_cast<std::int64_t>(kBuckets));
  std::size_t looks = 0;
  while (swept_ < second) {
    const auto bucket = static_cast<std::size_t>(swept_ + 1) % kBuckets;
    for (auto at = buckets_[bucket]; at != kNone;) {
      const auto next = entries_[at].next;
      if (++looks > kLooksAtOnce) {
        again_ = now;
        return;
      }
      if (!look_at(at, now)) {
        again_ = now + 1ms;  // the control thread makes room meanwhile
        return;
      }
      at = next;
    }
    ++swept_;
  }
}

// False: there is no room for its event.
bool Tracker::look_at(std::uint32_t at, Instant now) noexcept {
  auto& entry = entries_[at];
  if (entry.is_ended || (entry.has_fin_tx && entry.has_fin_rx)) return complete(at, entry.last);
  if (now - entry.last > kIdleMax) return complete(at, now);
  unlink(at);
  link(at, second_of(entry.last) + kIdleSeconds + 1);
  return true;
}

void Tracker::drain(Instant now) noexcept {
  std::size_t looks = 0;
  for (; drain_at_ < entries_.size(); ++drain_at_) {
    const auto at = static_cast<std::uint32_t>(drain_at_);
    if (!entries_[at].is_used) continue;
    if (++looks > kLooksAtOnce) {
      again_ = now;
      return;
    }
    if (!complete(at, entries_[at].is_ended ? entries_[at].last : now)) {
      again_ = now + 1ms;
      return;
    }
  }
  is_draining_ = false;
}

std::optional<Wakeup> Tracker::wakeup() const noexcept {
  if (again_) return Wakeup{*again_, "flows to look at"};
  if (counters_.open.load(std::memory_order_relaxed) == 0) return std::nullopt;
  for (std::size_t ahead = 1; ahead <= kBuckets;) {
    const auto bucket = (static_cast<std::size_t>(swept_) + ahead) % kBuckets;
    const auto rest = occupied_[bucket / 64] >> (bucket % 64);
    if (rest == 0) {
      ahead += 64 - bucket % 64;
      continue;
    }
    const auto second = swept_ + static_cast<std::int64_t>(ahead) + std::countr_zero(rest);
    return Wakeup{Instant{std::chrono::seconds{second}}, "a flow may be idle"};
  }
  return std::nullopt;
}

// ---- the wheel ----

void Tracker::link(std::uint32_t at, std::int64_t second) noexcept {
  auto& entry = entries_[at];
  const auto bucket = static_cast<std::size_t>(second) % kBuckets;
  entry.bucket = static_cast<std::uint8_t>(bucket);
  entry.previous = kNone;
  entry.next = buckets_[bucket];
  if (entry.next != kNone) entries_[entry.next].previous = at;
  buckets_[bucket] = at;
  occupied_[bucket / 64] |= std::uint64_t{1} << (bucket % 64);
}

void Tracker::unlink(std::uint32_t at) noexcept {
  const auto& entry = entries_[at];
  if (entry.next != kNone) entries_[entry.next].previous = entry.previous;
  if (entry.previous != kNone) {
    entries_[entry.previous].next = entry.next;
    return;
  }
  buckets_[entry.bucket] = entry.next;
  if (entry.next == kNone)
    occupied_[entry.bucket / 64U] &= ~(std::uint64_t{1} << (entry.bucket % 64U));
}

// ---- the table: linear probing, deletion by shifting back ----

std::uint32_t Tracker::hash_of(const Key& key) const noexcept {
  auto h = seed_;
  mix(h, key.inner_client.raw());
  mix(h, key.remote.raw());
  mix(h, key.resource.bytes());
  mix(h, std::uint64_t{key.client_port} << 32 | std::uint64_t{key.remote_port} << 8 |
             static_cast<std::uint64_t>(key.protocol));
  return static_cast<std::uint32_t>(h >> 32);
}

std::uint32_t& Tracker::open_of(const ClientId& client) noexcept {
  auto h = seed_;
  mix(h, client.bytes());
  return open_of_[(h >> 32) % kShareCells];
}

std::uint32_t Tracker::find(const Key& key, std::uint32_t hash) const noexcept {
  if (cells_.empty()) return kNone;
  for (std::size_t i = hash & mask_; cells_[i].entry != kNone; i = (i + 1) & mask_) {
    if (cells_[i].hash == hash && entries_[cells_[i].entry].key == key) return cells_[i].entry;
  }
  return kNone;
}

void Tracker::insert(std::uint32_t at) noexcept {
  const auto hash = entries_[at].hash;
  std::size_t i = hash & mask_;
  while (cells_[i].entry != kNone) i = (i + 1) & mask_;
  cells_[i] = {at, hash};
}

void Tracker::erase(std::uint32_t at) noexcept {
  std::size_t i = entries_[at].hash & mask_;
  while (cells_[i].entry != at) i = (i + 1) & mask_;
  for (auto next = (i + 1) & mask_; cells_[next].entry != kNone; next = (next + 1) & mask_) {
    // A cell may move back into the hole unless its home lies behind the hole.
    if (((next - (cells_[next].hash & mask_)) & mask_) >= ((next - i) & mask_)) {
      cells_[i] = cells_[next];
      i = next;
    }
  }
  cells_[i] = {};
}

}  // namespace fg::flow
