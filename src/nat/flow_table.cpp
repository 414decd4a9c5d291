#include "nat/flow_table.h"

#include <algorithm>
#include <utility>

namespace fg::nat {
namespace {

// RFC 9293 §3.1.
constexpr std::uint8_t kFin = 0x01;
constexpr std::uint8_t kSyn = 0x02;
constexpr std::uint8_t kRst = 0x04;

std::int64_t second_of(Instant at) noexcept {
  return std::chrono::floor<std::chrono::seconds>(at.time_since_epoch()).count();
}
std::int64_t second_after(Instant at) noexcept {
  return std::chrono::ceil<std::chrono::seconds>(at.time_since_epoch()).count();
}
Instant instant_of(std::int64_t second) noexcept { return Instant{std::chrono::seconds{second}}; }

}  // namespace

FlowTable::FlowTable(FlowStore& store, std::uint64_t seed, Instant now, Limits limits)
    : store_(store), seed_(seed), limits_(limits) {
  chunks_.reserve(kCells / kChunk);
  begin(now);
}

void FlowTable::begin(Instant now) noexcept {
  tick_ = second_of(now);
  earliest_ = tick_ + 1;
}

// ---- packets ----

std::optional<Outside> FlowTable::on_outgoing(const Inside& inside, Hash hash,
                                              const IpAddress& real, std::uint8_t tcp_flags,
                                              Instant now) noexcept {
  auto known = find(inside, hash);
  if (known != kNone && when_moved_ == WhenMoved::follows && at(known).real != real) {
    expire(known, now);
    known = kNone;
  }
  if (known != kNone) {
    auto& flow = at(known);
    flow.last_outgoing = now;
    if ((tcp_flags & (kFin | kSyn | kRst)) != 0) {
      // A new connection of the same ports is not a closed one (spec policy 5.4, REC).
      if ((tcp_flags & kSyn) != 0) flow.fin_out = flow.fin_in = flow.rst = false;
      flow.fin_out = flow.fin_out || (tcp_flags & kFin) != 0;
      flow.rst = flow.rst || (tcp_flags & kRst) != 0;
      place_again(known);
    }
    return outside_of(flow);
  }
  const auto port = free_port(inside, real, now);
  if (!port) return std::nullopt;
  const Outside outside{{inside.kind, *port, real}};
  if (const auto late = find(outside); late != kNone) forget_expired(late);
  const auto i = take_room(now);
  if (i == kNone) return std::nullopt;
  auto& flow = at(i);
  flow = {.last_outgoing = now,
          .proxy = inside.address,
          .real = real,
          .inside_port = inside.port,
          .outside_port = *port,
          .kind = inside.kind};
  inside_.insert(hash, i);
  outside_.insert(hash_of(outside), i);
  push(unconfirmed_, &Flow::waiting, i);
  place(i);
  return outside;
}

FlowTable::Found FlowTable::on_incoming(const Outside& outside, Hash hash, std::uint8_t tcp_flags,
                                        Instant now, Inside& inside) noexcept {
  const auto i = find(outside, hash);
  if (i == kNone) return Found::unknown;
  auto& flow = at(i);
  if (flow.expired) return Found::expired;
  if (!flow.confirmed) {
    flow.confirmed = true;
    unlink(unconfirmed_, &Flow::waiting, i);
  }
  flow.last_incoming = now;
  if ((tcp_flags & (kFin | kRst)) != 0) {
    flow.fin_in = flow.fin_in || (tcp_flags & kFin) != 0;
    flow.rst = flow.rst || (tcp_flags & kRst) != 0;
    place_again(i);
  }
  inside = inside_of(flow);
  return Found::live;
}

void FlowTable::on_direct(const Outside& outside) noexcept {
  if (expired_.count == 0) return;
  if (const auto i = find(outside); i != kNone && at(i).expired) forget_expired(i);
}

// v, v+1, …, 65535, 1, …, v-1 (spec policy 5.2 step 3).
std::optional<std::uint16_t> FlowTable::free_port(const Inside& inside, const IpAddress& real,
                                                  Instant now) noexcept {
  const std::size_t candidates = inside.port == 0 ? 65'536 : 65'535;
  auto port = inside.port;
  for (std::size_t n = 0; n < candidates; ++n) {
    const auto taken = find(Outside{{inside.kind, port, real}});
    if (taken == kNone || at(taken).expired) return port;
    if (const auto second = second_of(now); second != looks_second_) {
      looks_second_ = second;
      looks_ = 0;
    }
    if (++looks_ > limits_.looks_per_second) return std::nullopt;
    port = port == 65'535 ? std::uint16_t{1} : static_cast<std::uint16_t>(port + 1);
  }
  return std::nullopt;
}

// ---- time ----

Instant FlowTable::deadline_of(const Flow& flow) noexcept {
  const auto last =
      flow.confirmed ? std::max(flow.last_outgoing, flow.last_incoming) : flow.last_outgoing;
  if (flow.rst) return last;
  auto lifetime = flow.kind == Kind::tcp ? kTcpLifetime : kDatagramLifetime;
  if (!flow.confirmed) lifetime = std::min(lifetime, kUnconfirmedLifetime);
  if (flow.fin_out && flow.fin_in) lifetime = std::min(lifetime, kClosedLifetime);
  return last + lifetime;
}

// Deadlines beyond the wheel are looked at again when it has turned.
void FlowTable::place(FlowIndex i) noexcept {
  auto& flow = at(i);
  const auto second = std::clamp<std::int64_t>(second_after(deadline_of(flow)), tick_ + 1,
                                               tick_ + static_cast<std::int64_t>(kWheel) - 1);
  flow.bucket_second = second;
  earliest_ = std::min(earliest_, second);
  push(bucket_at(second), &Flow::timing, i);
}

void FlowTable::place_again(FlowIndex i) noexcept {
  unlink(bucket_at(at(i).bucket_second), &Flow::timing, i);
  place(i);
}

void FlowTable::sweep(Instant now) {
  if (room_wanted_) make_room(now);
  auto left = limits_.per_sweep;
  unfinished_.reset();
  while (expired_.count != 0 && at(expired_.first).last_outgoing + kExpiredMemory <= now) {
    if (left-- == 0) {
      unfinished_ = now;
      return;
    }
    forget_expired(expired_.first);
  }
  const auto until = second_of(now);
  // Once around is enough: every flow lies in some bucket.
  tick_ = std::max(tick_, until - static_cast<std::int64_t>(kWheel));
  for (;; ++tick_) {
    auto& bucket = bucket_at(tick_);
    while (bucket.count != 0) {
      if (left-- == 0) {
        unfinished_ = now;
        return;
      }
      const auto i = bucket.first;
      if (deadline_of(at(i)) <= now)
        expire(i, now);
      else
        place_again(i);
    }
    if (tick_ >= until) break;
  }
  const auto behind = tick_ + static_cast<std::int64_t>(kWheel);
  for (earliest_ = tick_ + 1; earliest_ < behind && bucket_at(earliest_).count == 0;) ++earliest_;
}

std::optional<Instant> FlowTable::next_sweep() const noexcept {
  auto next = room_wanted_;
  if (unfinished_) {
    const auto at = *unfinished_ + 1ms;
    return next ? std::min(*next, at) : at;
  }
  if (used_ == 0) return next;
  if (size() != 0) next = std::min(next.value_or(Instant::max()), instant_of(earliest_));
  if (expired_.count != 0) {
    const auto at_end = at(expired_.first).last_outgoing + kExpiredMemory;
    next = next ? std::min(*next, at_end) : at_end;
  }
  return next;
}

// ---- room ----

void FlowTable::make_room(Instant now) {
  if (used_ * 2 > inside_.size() && !inside_.is_moving() && !outside_.is_moving()) {
    inside_.grow();
    outside_.grow();
    chunks_.reserve(inside_.size() / kChunk);
  }
  inside_.move(kCellsASweep);
  outside_.move(kCellsASweep);
  room_wanted_ = wants_room() ? std::optional{now + 1ms} : std::nullopt;
}

FlowTable::FlowIndex FlowTable::take_room(Instant now) noexcept {
  if (used_ == limits_.flows) {
    if (expired_.count != 0) {
      forget_expired(expired_.first);
    } else if (unconfirmed_.count != 0) {
      const auto oldest = unconfirmed_.first;
      remove_live(oldest);
      outside_.erase(hash_of(outside_of(at(oldest))), oldest);
      release(oldest);
    } else {
      return kNone;
    }
  }
  if (used_ * 2 >= inside_.size() && !room_wanted_) room_wanted_ = now;
  if (used_ * 8 >= inside_.size() * 7) return kNone;
  if (free_ == kNone) {
    auto chunk = store_.take_chunk();
    if (chunk == nullptr) return kNone;
    const auto first = static_cast<FlowIndex>(chunks_.size() * kChunk);
    chunks_.push_back(std::move(chunk));  // reserved with the index
    for (auto i = first + kChunk; i-- != first;) {
      at(static_cast<FlowIndex>(i)).timing.next = free_;
      free_ = static_cast<FlowIndex>(i);
    }
  }
  ++used_;
  return std::exchange(free_, at(free_).timing.next);
}

void FlowTable::expire(FlowIndex i, Instant now) noexcept {
  remove_live(i);
  auto& flow = at(i);
  flow.expired = true;
  flow.last_outgoing = now;
  if (expired_.count == limits_.expired) forget_expired(expired_.first);
  push(expired_, &Flow::timing, i);
}

// From everything but the outside index.
void FlowTable::remove_live(FlowIndex i) noexcept {
  auto& flow = at(i);
  unlink(bucket_at(flow.bucket_second), &Flow::timing, i);
  if (!flow.confirmed) unlink(unconfirmed_, &Flow::waiting, i);
  inside_.erase(hash_of(inside_of(flow)), i);
}

void FlowTable::forget_expired(FlowIndex i) noexcept {
  unlink(expired_, &Flow::timing, i);
  outside_.erase(hash_of(outside_of(at(i))), i);
  release(i);
}

void FlowTable::release(FlowIndex i) noexcept {
  at(i).timing.next = free_;
  free_ = i;
  --used_;
}

void FlowTable::clear() noexcept {
  chunks_.clear();
  free_ = kNone;
  used_ = 0;
  inside_ = Index{kCells};
  outside_ = Index{kCells};
  wheel_ = {};
  unconfirmed_ = {};
  expired_ = {};
  unfinished_.reset();
  room_wanted_.reset();
}

std::size_t FlowTable::memory() const noexcept {
  return sizeof(*this) + chunks_.size() * (sizeof(*chunks_[0]) + sizeof(chunks_[0])) +
         inside_.memory() + outside_.memory();
}

// ---- finding ----

// With a secret seed, because a client chooses what is in its table.
FlowTable::Hash FlowTable::hash_of(std::uint64_t seed, const FlowEnd& end) noexcept {
  const auto* ip = end.address.raw().data();
  auto h = (seed ^ load_be64(ip)) * 0x9E3779B97F4A7C15ULL;
  h = (h ^ h >> 32 ^ load_be64(ip + 8)) * 0xBF58476D1CE4E5B9ULL;
  const auto rest = std::uint64_t{end.port} |
                    std::uint64_t{static_cast<std::uint8_t>(end.kind)} << 16 |
                    std::uint64_t{end.address.is_v4()} << 24;
  h = (h ^ h >> 29 ^ rest) * 0x94D049BB133111EBULL;
  return static_cast<std::uint32_t>(h >> 32 ^ h >> 8);
}

Inside FlowTable::inside_of(const Flow& flow) noexcept {
  return {{flow.kind, flow.inside_port, flow.proxy}};
}
Outside FlowTable::outside_of(const Flow& flow) noexcept {
  return {{flow.kind, flow.outside_port, flow.real}};
}

FlowTable::FlowIndex FlowTable::find(const Inside& inside, Hash hash) const noexcept {
  return inside_.find(hash, [&](FlowIndex i) {
    const auto& flow = at(i);
    return flow.inside_port == inside.port && flow.kind == inside.kind &&
           flow.proxy == inside.address;
  });
}

FlowTable::FlowIndex FlowTable::find(const Outside& outside, Hash hash) const noexcept {
  return outside_.find(hash, [&](FlowIndex i) {
    const auto& flow = at(i);
    return flow.outside_port == outside.port && flow.kind == outside.kind &&
           flow.real == outside.address;
  });
}

void FlowTable::Index::insert(std::uint32_t hash, FlowIndex flow) noexcept {
  const auto mask = cells_.size() - 1;
  auto i = hash & mask;
  while (cells_[i].flow != kNone) i = (i + 1) & mask;
  cells_[i] = {flow, hash};
}

bool FlowTable::Index::erase(std::vector<Cell>& cells, std::uint32_t hash,
                             FlowIndex flow) noexcept {
  if (cells.empty()) return false;
  const auto mask = cells.size() - 1;
  auto hole = hash & mask;
  for (; cells[hole].flow != flow; hole = (hole + 1) & mask) {
    if (cells[hole].flow == kNone) return false;
  }
  for (auto i = (hole + 1) & mask; cells[i].flow != kNone; i = (i + 1) & mask) {
    const auto home = cells[i].hash & mask;
    if (((i - home) & mask) < ((i - hole) & mask)) continue;
    cells[hole] = cells[i];
    hole = i;
  }
  cells[hole] = {};
  return true;
}

void FlowTable::Index::grow() {
  old_ = std::vector<Cell>(cells_.size() * 2);
  std::swap(old_, cells_);
  moved_ = 0;
}

// A cell that is left is filled by those behind it, never by one before: what lies in front of
// moved_ stays empty.
void FlowTable::Index::move(std::size_t cells) noexcept {
  for (; cells != 0 && moved_ < old_.size(); --cells) {
    const auto cell = old_[moved_];
    if (cell.flow == kNone) {
      ++moved_;
      continue;
    }
    (void)erase(old_, cell.hash, cell.flow);
    insert(cell.hash, cell.flow);
  }
  if (moved_ == old_.size()) old_ = {};
}

void FlowTable::push(List& list, Links Flow::* links, FlowIndex i) noexcept {
  at(i).*links = {list.last, kNone};
  (list.last == kNone ? list.first : (at(list.last).*links).next) = i;
  list.last = i;
  ++list.count;
}

void FlowTable::unlink(List& list, Links Flow::* links, FlowIndex i) noexcept {
  const auto [previous, next] = at(i).*links;
  (previous == kNone ? list.first : (at(previous).*links).next) = next;
  (next == kNone ? list.last : (at(next).*links).previous) = previous;
  --list.count;
}

// ---- the store ----

void FlowStore::refill() {
  for (std::size_t i = 0; i < kAtOnce && tables_.size() < kTables; ++i)
    tables_.push_back(std::make_unique<FlowTable>(*this, seed_, Instant{}));
  for (std::size_t i = 0; i < kAtOnce && chunks_.size() < kChunks; ++i)
    chunks_.push_back(std::make_unique<FlowTable::Chunk>());
}

std::unique_ptr<FlowTable> FlowStore::take_table(Instant now) noexcept {
  if (tables_.empty()) return nullptr;
  auto table = std::move(tables_.back());
  tables_.pop_back();
  table->begin(now);
  return table;
}

std::unique_ptr<FlowTable::Chunk> FlowStore::take_chunk() noexcept {
  if (chunks_.empty()) return nullptr;
  auto chunk = std::move(chunks_.back());
  chunks_.pop_back();
  return chunk;
}

}  // namespace fg::nat
