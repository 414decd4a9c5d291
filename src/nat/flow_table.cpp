#include "nat/flow_table.h"

#include <algorithm>
#include <utility>

namespace fg::nat {
namespace {

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

const FlowTable::Mapping* FlowTable::on_any_outgoing(const Inside& inside, const Search& search,
                                                     const IpAddress& real, std::uint8_t tcp_flags,
                                                     Instant now) noexcept {
  auto known = find(inside, search);
  if (known.flow != nullptr && when_moved_ == WhenMoved::follows &&
      known.flow->mapping.real != real) {
    expire(known.index, now);
    known = {};
  }
  if (known.flow == nullptr) return add(inside, search, real, now);
  auto& flow = *known.flow;
  flow.last_outgoing = now;
  if ((tcp_flags & kTurning) != 0) {
    // A new connection of the same ports is not a closed one (spec policy 5.4, REC).
    if ((tcp_flags & kSyn) != 0) flow.ending = 0;
    if ((tcp_flags & kFin) != 0) flow.ending |= kFinOut;
    if ((tcp_flags & kRst) != 0) flow.ending |= kReset;
    place_again(known.index);
  }
  return &flow.mapping;
}

const FlowTable::Mapping* FlowTable::add(const Inside& inside, const Search& search,
                                         const IpAddress& real, Instant now) noexcept {
  const auto port = free_port(inside, real, now);
  if (!port) return nullptr;
  const Outside outside{{inside.kind, *port, real}};
  if (const auto late = find(outside); late.flow != nullptr) forget_expired(late.index);
  const auto i = take_room(now);
  if (i == kNone) return nullptr;
  auto& flow = at(i);
  const bool is_one_family = inside.address.family() == real.family();
  flow = {.last_outgoing = now,
          .mapping = {.proxy = inside.address,
                      .real = real,
                      .inside_port = inside.port,
                      .outside_port = *port,
                      .address_change =
                          is_one_family ? packet::change_of(inside.address, real) : packet::Sum{0},
                      .port_change = packet::subtract(*port, inside.port),
                      .kind = inside.kind},
          .state = State::live};
  inside_.insert(search.hash_, i);
  outside_.insert(hash_of(outside), i);
  push(unconfirmed_, &Upkeep::waiting, i);
  place(i);
  return &flow.mapping;
}

FlowTable::Incoming FlowTable::on_any_incoming(const Outside& outside, const Search& search,
                                               std::uint8_t tcp_flags, Instant now) noexcept {
  const auto known = find(outside, search);
  if (known.flow == nullptr) return {};
  auto& flow = *known.flow;
  if (flow.state == State::expired) return {Found::expired};
  if (!flow.confirmed) {
    flow.confirmed = true;
    unlink(unconfirmed_, &Upkeep::waiting, known.index);
  }
  flow.last_incoming = now;
  if ((tcp_flags & (kFin | kRst)) != 0) {
    if ((tcp_flags & kFin) != 0) flow.ending |= kFinIn;
    if ((tcp_flags & kRst) != 0) flow.ending |= kReset;
    place_again(known.index);
  }
  return {Found::live, &flow.mapping};
}

void FlowTable::on_direct(const Outside& outside) noexcept {
  if (expired_.count == 0) return;
  if (const auto late = find(outside); late.flow != nullptr && late.flow->state == State::expired)
    forget_expired(late.index);
}

// v, v+1, …, 65535, 1, …, v-1 (spec policy 5.2 step 3).
std::optional<std::uint16_t> FlowTable::free_port(const Inside& inside, const IpAddress& real,
                                                  Instant now) noexcept {
  const std::size_t candidates = inside.port == 0 ? 65'536 : 65'535;
  auto port = inside.port;
  for (std::size_t n = 0; n < candidates; ++n) {
    const auto taken = find(Outside{{inside.kind, port, real}});
    if (taken.flow == nullptr || taken.flow->state == State::expired) return port;
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
  if ((flow.ending & kReset) != 0) return last;
  auto lifetime = flow.mapping.kind == Kind::tcp ? kTcpLifetime : kDatagramLifetime;
  if (!flow.confirmed) lifetime = std::min(lifetime, kUnconfirmedLifetime);
  if (flow.ending == (kFinOut | kFinIn)) lifetime = std::min(lifetime, kClosedLifetime);
  return last + lifetime;
}

// Deadlines beyond the wheel are looked at again when it has turned.
void FlowTable::place(FlowIndex i) noexcept {
  const auto second = std::clamp<std::int64_t>(second_after(deadline_of(at(i))), tick_ + 1,
                                               tick_ + static_cast<std::int64_t>(kWheel) - 1);
  upkeep(i).bucket_second = second;
  earliest_ = std::min(earliest_, second);
  push(bucket_at(second), &Upkeep::timing, i);
}

void FlowTable::place_again(FlowIndex i) noexcept {
  unlink(bucket_at(upkeep(i).bucket_second), &Upkeep::timing, i);
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
      outside_.erase(hash_of(at(oldest).mapping.outside()), oldest);
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
      upkeep(static_cast<FlowIndex>(i)).timing.next = free_;
      free_ = static_cast<FlowIndex>(i);
    }
  }
  ++used_;
  return std::exchange(free_, upkeep(free_).timing.next);
}

void FlowTable::expire(FlowIndex i, Instant now) noexcept {
  remove_live(i);
  auto& flow = at(i);
  flow.state = State::expired;
  flow.last_outgoing = now;
  if (expired_.count == limits_.expired) forget_expired(expired_.first);
  push(expired_, &Upkeep::timing, i);
}

// From everything but the outside index.
void FlowTable::remove_live(FlowIndex i) noexcept {
  auto& flow = at(i);
  unlink(bucket_at(upkeep(i).bucket_second), &Upkeep::timing, i);
  if (!flow.confirmed) unlink(unconfirmed_, &Upkeep::waiting, i);
  inside_.erase(hash_of(flow.mapping.inside()), i);
}

void FlowTable::forget_expired(FlowIndex i) noexcept {
  unlink(expired_, &Upkeep::timing, i);
  outside_.erase(hash_of(at(i).mapping.outside()), i);
  release(i);
}

void FlowTable::release(FlowIndex i) noexcept {
  at(i).state = State::free;
  upkeep(i).timing.next = free_;
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

FlowTable::Place FlowTable::find(const Inside& inside, const Search& search) noexcept {
  if (search.guess_.flow != nullptr && search.guess_.flow->is_live(inside)) return search.guess_;
  return place_of(inside_.find(search.hash_, [&](FlowIndex i) { return at(i).is_live(inside); }));
}

FlowTable::Place FlowTable::find(const Outside& outside, const Search& search) noexcept {
  if (search.guess_.flow != nullptr && search.guess_.flow->is_of(outside)) return search.guess_;
  return place_of(outside_.find(search.hash_, [&](FlowIndex i) { return at(i).is_of(outside); }));
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

void FlowTable::push(List& list, Links Upkeep::* links, FlowIndex i) noexcept {
  upkeep(i).*links = {list.last, kNone};
  (list.last == kNone ? list.first : (upkeep(list.last).*links).next) = i;
  list.last = i;
  ++list.count;
}

void FlowTable::unlink(List& list, Links Upkeep::* links, FlowIndex i) noexcept {
  const auto [previous, next] = upkeep(i).*links;
  (previous == kNone ? list.first : (upkeep(previous).*links).next) = next;
  (next == kNone ? list.last : (upkeep(next).*links).previous) = previous;
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
