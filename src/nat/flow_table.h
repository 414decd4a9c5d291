// One client's flows to DNS resources (spec policy 5.1-5.4): inside is the client's port and the
// proxy address, outside the port that left and the real address. The port is kept when it is free,
// so that several names with one real address stay apart. A flow keeps the real address it began
// with, whatever its proxy stands for later, unless it is told to follow (generation A). Timers are
// those of generation C.
//
// Deadlines lie on a wheel of seconds and are looked at when they may have come; a sweep takes a
// bounded number. What expired is remembered for a while, so that late answers are recognised.
// No packet allocates: tables and places for flows come from the worker's store, which is filled
// between batches, and a table that gets full moves to a larger index then, some cells at a time.
// What outruns that is refused. Left out: the packets themselves.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/address.h"
#include "base/time.h"
#include "packet/checksum.h"
#include "packet/inner.h"

namespace fg::nat {

// Protocol, port or echo identifier, address. Two types, so that they cannot be swapped.
struct FlowEnd {
  packet::ProtoClass::Kind kind = packet::ProtoClass::Kind::tcp;  // tcp, udp or echo
  std::uint16_t port = 0;
  IpAddress address;
  friend bool operator==(const FlowEnd&, const FlowEnd&) = default;
};
struct Inside : FlowEnd {};
struct Outside : FlowEnd {};

class FlowStore;

class FlowTable {
  using FlowIndex = std::uint32_t;
  static constexpr FlowIndex kNone = 0xFFFFFFFF;
  struct Flow;
  struct Place {
    FlowIndex index = kNone;
    Flow* flow = nullptr;
  };

 public:
  using Kind = packet::ProtoClass::Kind;

  // Spec policy 0.5.
  static constexpr Duration kTcpLifetime = 7440s;
  static constexpr Duration kDatagramLifetime = 120s;    // UDP and echo
  static constexpr Duration kUnconfirmedLifetime = 60s;  // after the last outgoing packet
  static constexpr Duration kClosedLifetime = 5s;        // FIN seen both ways
  static constexpr Duration kExpiredMemory = 300s;       // spec policy 5.3, REC

  struct Limits {
    std::size_t flows = 262'144;   // spec policy 8.2; expired ones included
    std::size_t expired = 65'536;  // the oldest are forgotten first
    std::size_t per_sweep = 4096;
    // Searches for a free port cost at most this many looks a second, so that a client that has
    // taken them all does not keep its worker busy. Four complete searches.
    std::size_t looks_per_second = 262'144;
  };

  // The store outlives it.
  FlowTable(FlowStore& store, std::uint64_t seed, Instant now, Limits limits);
  FlowTable(FlowStore& store, std::uint64_t seed, Instant now)
      : FlowTable(store, seed, now, Limits{}) {}

  // Spec policy 5.2 step 2: A's names are looked up again only when nothing comes back, so that
  // there is nothing to keep.
  enum class WhenMoved : std::uint8_t { stays, follows };
  void set_when_moved(WhenMoved when) noexcept { when_moved_ = when; }

  // Both ends of a flow, and what replacing one by the other adds to the sums over a packet to the
  // resource.
  struct Mapping {
    IpAddress proxy;
    IpAddress real;
    std::uint16_t inside_port = 0;
    std::uint16_t outside_port = 0;
    packet::Sum address_change = 0;  // of one family
    packet::Sum port_change = 0;
    Kind kind = Kind::tcp;
    [[nodiscard]] Inside inside() const noexcept { return {{kind, inside_port, proxy}}; }
    [[nodiscard]] Outside outside() const noexcept { return {{kind, outside_port, real}}; }
  };

  // A packet's way to its flow, in steps, so that what each step needs is fetched ahead of it: the
  // table, where in it the flow is to be found, then the flow itself. What is found ahead is a
  // guess that is compared when it is used: a packet in between may have ended the flow.
  using Hash = std::uint32_t;
  class Search {
   public:
    Search() = default;
    // With a secret seed, because a client chooses what is in its table.
    Search(std::uint64_t seed, const FlowEnd& end) noexcept : hash_(hash_of(seed, end)) {}
    // What was found.
    void prefetch() const noexcept { __builtin_prefetch(guess_.flow, 1); }

   private:
    friend class FlowTable;
    [[nodiscard]] static Hash hash_of(std::uint64_t seed, const FlowEnd& end) noexcept;

    Hash hash_ = 0;
    Place guess_;
  };
  void prefetch() const noexcept {
    const void* begin = this;
    for (const auto* line = static_cast<const std::uint8_t*>(begin);
         line < static_cast<const void*>(&wheel_); line += 64)
      __builtin_prefetch(line, 1);
  }
  void prefetch_outgoing(const Search& search) const noexcept { inside_.prefetch(search.hash_); }
  void prefetch_incoming(const Search& search) const noexcept { outside_.prefetch(search.hash_); }
  // False: there is none.
  bool find_outgoing(Search& search) noexcept { return guess(inside_, search); }
  bool find_incoming(Search& search) noexcept { return guess(outside_, search); }

  // Where a packet to a proxy address that stands for `real` goes. Nothing: no port or no room.
  // What is returned stays until the next call that is not const.
  [[nodiscard]] const Mapping* on_outgoing(const Inside& inside, const Search& search,
                                           const IpAddress& real, std::uint8_t tcp_flags,
                                           Instant now) noexcept {
    auto* flow = search.guess_.flow;
    if (flow == nullptr || !flow->is_live(inside) || (tcp_flags & kTurning) != 0 ||
        when_moved_ == WhenMoved::follows)
      return on_any_outgoing(inside, search, real, tcp_flags, now);
    flow->last_outgoing = now;
    return &flow->mapping;
  }
  [[nodiscard]] std::optional<Outside> on_outgoing(const Inside& inside, const IpAddress& real,
                                                   std::uint8_t tcp_flags, Instant now) noexcept {
    const auto* mapping = on_outgoing(inside, search_of(inside), real, tcp_flags, now);
    return mapping != nullptr ? std::optional{mapping->outside()} : std::nullopt;
  }

  enum class Found : std::uint8_t { unknown, live, expired };
  struct Incoming {
    Found found = Found::unknown;
    const Mapping* mapping = nullptr;  // of a flow that lives
  };
  // A packet of the real address arrived.
  [[nodiscard]] Incoming on_incoming(const Outside& outside, const Search& search,
                                     std::uint8_t tcp_flags, Instant now) noexcept {
    auto* flow = search.guess_.flow;
    if (flow == nullptr || !flow->is_of(outside) || flow->state != State::live ||
        !flow->confirmed || (tcp_flags & kTurning) != 0)
      return on_any_incoming(outside, search, tcp_flags, now);
    flow->last_incoming = now;
    return {Found::live, &flow->mapping};
  }
  // `inside` is set when the flow lives.
  Found on_incoming(const Outside& outside, std::uint8_t tcp_flags, Instant now,
                    Inside& inside) noexcept {
    const auto [found, mapping] = on_incoming(outside, search_of(outside), tcp_flags, now);
    if (mapping != nullptr) inside = mapping->inside();
    return found;
  }

  // A packet left for this end without translation: its answers are not late ones of an expired
  // flow (spec policy 5.3, REC).
  void on_direct(const Outside& outside) noexcept;

  // Makes room as well.
  void sweep(Instant now);
  // For as many flows again, a bounded step; what is left is due at next_sweep(). Allocates.
  void make_room(Instant now);
  [[nodiscard]] std::optional<Instant> next_sweep() const noexcept;
  void clear() noexcept;

  [[nodiscard]] std::size_t size() const noexcept { return used_ - expired_.count; }
  [[nodiscard]] std::size_t expired() const noexcept { return expired_.count; }
  [[nodiscard]] bool is_empty() const noexcept { return used_ == 0; }
  [[nodiscard]] std::size_t memory() const noexcept;

 private:
  friend class FlowStore;
  static constexpr std::size_t kChunk = 64;
  static constexpr std::size_t kWheel = 128;  // seconds
  static constexpr std::size_t kCells = 512;  // of a new index
  static constexpr std::size_t kCellsASweep = 8192;

  enum class State : std::uint8_t { free, live, expired };
  // TCP flags (RFC 9293 §3.1) that change how long a flow lives.
  static constexpr std::uint8_t kFin = 0x01;
  static constexpr std::uint8_t kSyn = 0x02;
  static constexpr std::uint8_t kRst = 0x04;
  static constexpr std::uint8_t kTurning = kFin | kSyn | kRst;
  enum Ending : std::uint8_t { kFinOut = 1, kFinIn = 2, kReset = 4 };  // seen of a TCP connection
  struct Links {
    FlowIndex previous = kNone;
    FlowIndex next = kNone;
  };
  // All that a packet of a known flow touches: a line, apart from the rest, so that the lines of
  // many flows lie close together.
  struct alignas(64) Flow {
    Instant last_outgoing{};  // of an expired one: since when it is
    Instant last_incoming{};  // confirmed only
    Mapping mapping;
    State state = State::free;
    bool confirmed = false;
    std::uint8_t ending = 0;  // of Ending

    [[nodiscard]] bool is_live(const Inside& inside) const noexcept {
      return mapping.inside_port == inside.port && mapping.kind == inside.kind &&
             mapping.proxy == inside.address && state == State::live;
    }
    // Perhaps expired.
    [[nodiscard]] bool is_of(const Outside& outside) const noexcept {
      return mapping.outside_port == outside.port && mapping.kind == outside.kind &&
             mapping.real == outside.address && state != State::free;
    }
  };
  static_assert(sizeof(Flow) == 64);
  struct Upkeep {
    std::int64_t bucket_second = 0;  // its place on the wheel, while it lives
    Links timing = {};               // its bucket, or the expired ones, or the free ones
    Links waiting = {};              // the unconfirmed ones
  };
  struct Chunk {
    std::array<Flow, kChunk> flows;
    std::array<Upkeep, kChunk> upkeep;
  };
  struct List {
    FlowIndex first = kNone;
    FlowIndex last = kNone;
    std::size_t count = 0;
  };
  // Open addressing with linear probing and deletion by shifting back.
  struct Cell {
    FlowIndex flow = kNone;
    std::uint32_t hash = 0;
  };
  class Index {
   public:
    explicit Index(std::size_t cells) : cells_(cells) {}
    template <class Match>
    [[nodiscard]] FlowIndex find(std::uint32_t hash, Match&& match) const noexcept {
      const auto found = find(cells_, hash, match);
      return found != kNone || old_.empty() ? found : find(old_, hash, match);
    }
    // The first with this hash.
    [[nodiscard]] FlowIndex find(std::uint32_t hash) const noexcept {
      return find(hash, [](FlowIndex) { return true; });
    }
    void prefetch(std::uint32_t hash) const noexcept {
      __builtin_prefetch(cells_.data() + (hash & (cells_.size() - 1)));
    }
    void insert(std::uint32_t hash, FlowIndex flow) noexcept;
    void erase(std::uint32_t hash, FlowIndex flow) noexcept {
      if (!erase(cells_, hash, flow)) (void)erase(old_, hash, flow);
    }
    // Twice as many cells, which take what is new; the rest follows by move().
    void grow();
    [[nodiscard]] bool is_moving() const noexcept { return !old_.empty(); }
    void move(std::size_t cells) noexcept;
    [[nodiscard]] std::size_t size() const noexcept { return cells_.size(); }
    [[nodiscard]] std::size_t memory() const noexcept {
      return (cells_.size() + old_.size()) * sizeof(Cell);
    }

   private:
    template <class Match>
    [[nodiscard]] static FlowIndex find(const std::vector<Cell>& cells, std::uint32_t hash,
                                        Match&& match) noexcept {
      const auto mask = cells.size() - 1;
      for (auto i = hash & mask; cells[i].flow != kNone; i = (i + 1) & mask) {
        if (cells[i].hash == hash && match(cells[i].flow)) return cells[i].flow;
      }
      return kNone;
    }
    static bool erase(std::vector<Cell>& cells, std::uint32_t hash, FlowIndex flow) noexcept;

    std::vector<Cell> cells_;
    std::vector<Cell> old_;  // while it moves: what is still there
    std::size_t moved_ = 0;  // cells of old_
  };

  [[nodiscard]] Flow& at(FlowIndex i) noexcept { return chunks_[i / kChunk]->flows[i % kChunk]; }
  [[nodiscard]] const Flow& at(FlowIndex i) const noexcept {
    return chunks_[i / kChunk]->flows[i % kChunk];
  }
  [[nodiscard]] Upkeep& upkeep(FlowIndex i) noexcept {
    return chunks_[i / kChunk]->upkeep[i % kChunk];
  }
  [[nodiscard]] Place place_of(FlowIndex i) noexcept {
    return i == kNone ? Place{} : Place{i, &at(i)};
  }
  [[nodiscard]] Search search_of(const FlowEnd& end) const noexcept { return {seed_, end}; }
  [[nodiscard]] Hash hash_of(const FlowEnd& end) const noexcept { return search_of(end).hash_; }
  bool guess(const Index& index, Search& search) noexcept {
    search.guess_ = place_of(index.find(search.hash_));
    return search.guess_.flow != nullptr;
  }
  [[nodiscard]] Place find(const Inside& inside, const Search& search) noexcept;
  [[nodiscard]] Place find(const Outside& outside, const Search& search) noexcept;
  [[nodiscard]] Place find(const Outside& outside) noexcept {
    return find(outside, search_of(outside));
  }
  // Of packets in the middle of a flow that was found ahead the callers above make short work.
  [[nodiscard]] const Mapping* on_any_outgoing(const Inside& inside, const Search& search,
                                               const IpAddress& real, std::uint8_t tcp_flags,
                                               Instant now) noexcept;
  [[nodiscard]] Incoming on_any_incoming(const Outside& outside, const Search& search,
                                         std::uint8_t tcp_flags, Instant now) noexcept;
  [[nodiscard]] const Mapping* add(const Inside& inside, const Search& search,
                                   const IpAddress& real, Instant now) noexcept;
  [[nodiscard]] std::optional<std::uint16_t> free_port(const Inside& inside, const IpAddress& real,
                                                       Instant now) noexcept;
  [[nodiscard]] FlowIndex take_room(Instant now) noexcept;
  // Half full: the index may take as much again, nearly, until it is larger.
  [[nodiscard]] bool wants_room() const noexcept {
    return inside_.is_moving() || outside_.is_moving() || used_ * 2 > inside_.size();
  }
  void begin(Instant now) noexcept;
  void push(List& list, Links Upkeep::* links, FlowIndex i) noexcept;
  void unlink(List& list, Links Upkeep::* links, FlowIndex i) noexcept;
  void place(FlowIndex i) noexcept;
  void place_again(FlowIndex i) noexcept;
  [[nodiscard]] List& bucket_at(std::int64_t second) noexcept {
    return wheel_[static_cast<std::uint64_t>(second) % kWheel];
  }
  [[nodiscard]] const List& bucket_at(std::int64_t second) const noexcept {
    return wheel_[static_cast<std::uint64_t>(second) % kWheel];
  }
  void expire(FlowIndex i, Instant now) noexcept;
  void forget_expired(FlowIndex i) noexcept;
  void remove_live(FlowIndex i) noexcept;
  void release(FlowIndex i) noexcept;
  [[nodiscard]] static Instant deadline_of(const Flow& flow) noexcept;

  FlowStore& store_;
  const std::uint64_t seed_;
  const Limits limits_;
  WhenMoved when_moved_ = WhenMoved::stays;
  std::vector<std::unique_ptr<Chunk>> chunks_;
  FlowIndex free_ = kNone;  // linked by their timing.next
  std::size_t used_ = 0;
  Index inside_{kCells};
  Index outside_{kCells};
  List expired_;
  std::int64_t tick_;                   // seconds; nothing is ever put into a bucket up to here
  std::int64_t earliest_;               // no flow lies in a bucket before it
  std::optional<Instant> unfinished_;   // the sweep then had more to do
  std::optional<Instant> room_wanted_;  // since, or when it goes on
  std::array<List, kWheel> wheel_{};
  List unconfirmed_;
  std::int64_t looks_second_ = 0;
  std::size_t looks_ = 0;
};

inline FlowTable::Hash FlowTable::Search::hash_of(std::uint64_t seed, const FlowEnd& end) noexcept {
  const auto words = std::bit_cast<std::array<std::uint64_t, 2>>(end.address.raw());
  auto h = (seed ^ words[0]) * 0x9E3779B97F4A7C15ULL;
  h = (h ^ h >> 32 ^ words[1]) * 0xBF58476D1CE4E5B9ULL;
  const auto rest = std::uint64_t{end.port} |
                    std::uint64_t{static_cast<std::uint8_t>(end.kind)} << 16 |
                    std::uint64_t{end.address.is_v4()} << 24;
  h = (h ^ h >> 29 ^ rest) * 0x94D049BB133111EBULL;
  return static_cast<std::uint32_t>(h >> 32 ^ h >> 8);
}

// What the tables of one worker begin with and grow by, made ahead of the packets that need it.
class FlowStore {
 public:
  static constexpr std::size_t kTables = 64;
  static constexpr std::size_t kChunks = 128;  // of 64 flows
  static constexpr std::size_t kAtOnce = 32;   // of each, a refill

  explicit FlowStore(std::uint64_t seed) : seed_(seed) {
    tables_.reserve(kTables);
    chunks_.reserve(kChunks);
  }

  [[nodiscard]] bool is_full() const noexcept {
    return tables_.size() == kTables && chunks_.size() == kChunks;
  }
  void refill();

  // nullptr: nothing is left until it is filled again.
  [[nodiscard]] std::unique_ptr<FlowTable> take_table(Instant now) noexcept;

 private:
  friend class FlowTable;
  [[nodiscard]] std::unique_ptr<FlowTable::Chunk> take_chunk() noexcept;

  const std::uint64_t seed_;
  std::vector<std::unique_ptr<FlowTable>> tables_;
  std::vector<std::unique_ptr<FlowTable::Chunk>> chunks_;
};

}  // namespace fg::nat
