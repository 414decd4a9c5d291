// Which TCP and UDP flows of clients are under way on one worker, and what each has carried (spec
// policy 6.2, 6.3, generation C's rules for all). Fed with packets that were accepted, or really
// sent; says what began and ended as events to the control thread, which knows whose flows they
// are. Sans-IO. A table of fixed size, made when tracking is first switched on; nothing else
// allocates. Idle flows are found by a wheel of seconds: a flow is looked at once in two minutes,
// not once a packet. What has no room in the ring of events is not lost: a flow without room for
// its beginning is not opened, one without room for its end stays until there is.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "base/address.h"
#include "base/ids.h"
#include "base/time.h"

namespace fg::flow {

inline constexpr std::size_t kFlowsMax = 65'536;  // a worker
// Of these a client may have one part in so many. Its share is counted under a hash of its id: of
// clients whose hashes meet, all together.
inline constexpr std::size_t kShares = 4;
inline constexpr std::size_t kPathsMax = 16;  // spec policy 0.5
inline constexpr Duration kIdleMax = 120s;    // spec policy 0.5: strictly more ends a flow
inline constexpr std::uint32_t kNoName = 0;

enum class Protocol : std::uint8_t { tcp, udp };

// Spec policy 6.2: as the resource sees it, so after translation.
struct Key {
  ClientId client;
  ResourceId resource;
  IpAddress inner_client;
  IpAddress remote;
  std::uint16_t client_port = 0;
  std::uint16_t remote_port = 0;
  Protocol protocol = Protocol::tcp;
  friend bool operator==(const Key&, const Key&) = default;
};

// Outer addresses of the client's datagrams as they arrive; the relay's, where one relays.
struct OuterPath {
  SocketAddress source;
  SocketAddress destination;
  friend bool operator==(const OuterPath&, const OuterPath&) = default;
};

struct Traffic {
  std::uint32_t packets = 1;
  std::uint32_t payload_bytes = 0;  // behind the TCP or UDP header
  std::uint8_t tcp_flags = 0;
};

struct Started {
  Key key;
  OuterPath path;
  std::uint32_t name = kNoName;  // the DNS resource's name, numbered by the control thread
};
struct PathChanged {
  OuterPath path;
};
struct Completed {
  Instant last_packet;
  std::uint64_t rx_packets = 0;  // resource to client
  std::uint64_t tx_packets = 0;  // client to resource
  std::uint64_t rx_bytes = 0;
  std::uint64_t tx_bytes = 0;
};
// `flow` names a flow of the worker from Started to Completed.
struct Event {
  std::uint32_t flow = 0;
  Instant at;
  std::variant<std::monostate, Started, PathChanged, Completed> what;
};

class Sink {
 public:
  Sink() = default;
  Sink(const Sink&) = delete;
  Sink& operator=(const Sink&) = delete;
  virtual ~Sink() = default;
  // A place to fill; nullptr when the ring is full.
  [[nodiscard]] virtual Event* reserve_flow_event() noexcept = 0;
};

// Written by the worker, read by anyone.
struct Counters {
  std::atomic<std::uint64_t> open{0};
  std::atomic<std::uint64_t> table_full{0};  // packets that would have opened a flow
  std::atomic<std::uint64_t> share_full{0};  // the same, as their client has had its share
  std::atomic<std::uint64_t> ring_full{0};   // events put off
};

class Tracker {
 public:
  // The seed keeps clients from choosing which of their flows collide in the table.
  Tracker(Sink& sink, std::uint64_t seed, std::size_t flows_max = kFlowsMax)
      : sink_(sink), seed_(seed), flows_max_(flows_max) {}

  // Off: every open flow is completed, a few at each on_timeout().
  void set(bool is_on, Instant now);
  [[nodiscard]] bool is_on() const noexcept { return is_on_; }

  // A key is hashed once a packet. What the packet will touch is fetched ahead in two steps: where
  // the flow is to be found, then the flow itself.
  using Hash = std::uint32_t;
  [[nodiscard]] Hash hash_of(const Key& key) const noexcept;
  void prefetch(Hash hash) const noexcept { __builtin_prefetch(cells_.data() + (hash & mask_)); }
  void prefetch_flow(Hash hash) const noexcept;

  // Of an authorized packet of the client, whatever became of it behind the access rules.
  void on_tx(const Key& key, Hash hash, const OuterPath& path, const Traffic& traffic,
             std::uint32_t name, Instant now) noexcept;
  void on_tx(const Key& key, const OuterPath& path, const Traffic& traffic, std::uint32_t name,
             Instant now) noexcept {
    on_tx(key, hash_of(key), path, traffic, name, now);
  }
  // Of packets encrypted for the client.
  void on_rx(const Key& key, Hash hash, const Traffic& traffic, Instant now) noexcept;
  void on_rx(const Key& key, const Traffic& traffic, Instant now) noexcept {
    on_rx(key, hash_of(key), traffic, now);
  }
  void on_timeout(Instant now) noexcept;

  [[nodiscard]] std::optional<Wakeup> wakeup() const noexcept;
  [[nodiscard]] const Counters& counters() const { return counters_; }
  // Something was reported since the last call.
  [[nodiscard]] bool take_reported() noexcept { return std::exchange(reported_, false); }

 private:
  static constexpr std::uint32_t kNone = 0xFFFFFFFF;
  static constexpr std::size_t kBuckets = 256;      // seconds; more than twice kIdleMax
  static constexpr std::size_t kLooksAtOnce = 512;  // flows, each on_timeout()

  // What a packet of a known flow touches fills the first three lines; the third one only those of
  // the client.
  struct alignas(64) Entry {
    Key key;
    Instant last;
    std::uint64_t rx_packets = 0;
    std::uint64_t tx_packets = 0;
    std::uint64_t rx_bytes = 0;
    std::uint64_t tx_bytes = 0;
    std::uint8_t bucket = 0;
    std::uint8_t paths = 1;
    bool is_used = false;
    bool is_established = false;  // the client has sent something else than SYN
    bool has_fin_tx = false;
    bool has_fin_rx = false;
    bool is_ended = false;  // by RST; only its event is missing
    OuterPath path;
    std::uint32_t hash = 0;
    std::uint32_t previous = kNone;
    std::uint32_t next = kNone;
  };
  struct Cell {
    std::uint32_t entry = kNone;
    std::uint32_t hash = 0;
  };

  [[nodiscard]] std::uint32_t& open_of(const ClientId& client) noexcept;
  [[nodiscard]] std::uint32_t find(const Key& key, std::uint32_t hash) const noexcept;
  bool open(const Key& key, std::uint32_t hash, const OuterPath& path, const Traffic& traffic,
            std::uint32_t name, Instant now) noexcept;
  void count_tx(std::uint32_t at, const Traffic& traffic, Instant now) noexcept;
  void on_ending_flags(std::uint32_t at, Instant now) noexcept;
  bool report_path(std::uint32_t at, const OuterPath& path, Instant now) noexcept;
  bool complete(std::uint32_t at, Instant end) noexcept;
  bool look_at(std::uint32_t at, Instant now) noexcept;
  void drain(Instant now) noexcept;
  void link(std::uint32_t at, std::int64_t second) noexcept;
  void unlink(std::uint32_t at) noexcept;
  void insert(std::uint32_t at) noexcept;
  void erase(std::uint32_t at) noexcept;
  [[nodiscard]] Event* reserve() noexcept;

  Sink& sink_;
  const std::uint64_t seed_;
  const std::size_t flows_max_;
  bool is_on_ = false;
  bool is_draining_ = false;
  bool reported_ = false;
  std::vector<Entry> entries_;
  std::vector<std::uint32_t> free_;
  std::vector<std::uint32_t> open_of_;  // flows, by the hash of their client
  std::vector<Cell> cells_;
  std::size_t mask_ = 0;
  std::array<std::uint32_t, kBuckets> buckets_{};
  std::array<std::uint64_t, kBuckets / 64> occupied_{};
  std::int64_t swept_ = 0;        // this second and all before
  std::optional<Instant> again_;  // more to do
  std::size_t drain_at_ = 0;
  Counters counters_;
};

}  // namespace fg::flow
