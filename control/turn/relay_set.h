// The relays the portal gave us (spec connectivity 1.3, 3.10, 3.11): one Allocation each, found by
// id, by server socket and by relayed address; updates of the list; the choice for a connection;
// and which datagrams are a relay's. Sans-IO, same contract as Allocation.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <variant>
#include <vector>

#include "base/drop_reason.h"
#include "base/ids.h"
#include "base/random.h"
#include "control/turn/allocation.h"
#include "control/turn/recent_relays.h"

namespace fg::turn {

inline constexpr std::size_t kRelaysMax =
    16;  // the workers' tables hold this many; the portal hands out two

// The relay is no longer in use: its slot, candidates and channels are void. Always the last event
// of that slot.
struct RelayGone {
  enum class Why : std::uint8_t {
    removed,
    replaced,
    no_response,
    authentication,
    protocol_failure
  };
  Why why = Why::removed;
};
struct RelayEvent {
  RelayId id;
  RelaySlot slot{};
  std::variant<CandidateLearnt, CandidateInvalidated, ChannelChanged, ActiveServerChanged,
               Suspended, RelayGone>
      what;
};
// The last relay was given up, not removed by the portal: ask it for others.
struct NoRelays {};
using SetEvent = std::variant<RelayEvent, NoRelays>;

// What step 1 of the classification (spec connectivity 1.3) makes of a datagram.
struct NotRelay {};  // go on with step 2, unchanged
struct Consumed {};  // a relay's control message; one that answers nothing has a DropReason
struct FromPeer {    // go on with step 2: payload, from peer, to relayed
  RelayId id;
  RelaySlot slot{};
  ChannelNumber channel{};
  SocketAddress peer;
  SocketAddress relayed;
  Bytes payload;
};
using Classified = std::variant<NotRelay, Consumed, FromPeer, DropReason>;

class RelaySet {
 public:
  RelaySet(Options options, Random& random) : options_(std::move(options)), random_(random) {}

  // ---- inputs ----
  // Removals first; then unknown relays are started, changed ones replaced, identical ones left
  // alone, suspended ones restarted; every other known relay is checked with a proactive refresh.
  void update(std::span<const RelayId> remove, std::span<const Relay> add, Instant now);
  // Any datagram from the network; see Classified. Marks channels as received.
  Classified on_datagram(const SocketAddress& local, const SocketAddress& from, Bytes bytes,
                         Instant now);
  void on_timeout(Instant now);
  void probe(Instant now);  // see Allocation
  void bind_channel(const RelayId& id, const SocketAddress& peer, Instant now);
  // A worker received data on the channel.
  void on_channel_activity(RelaySlot slot, ChannelNumber channel, Instant now);
  // Payload to the peer as ChannelData. Without a usable channel it is dropped, a bind is started
  // and false returned.
  bool send_to_peer(const RelayId& id, const SocketAddress& peer, Bytes payload, Instant now);

  // ---- outputs ----
  std::optional<Datagram> poll_datagram();
  std::optional<SetEvent> poll_event();
  [[nodiscard]] std::optional<Wakeup> wakeup() const;

  // ---- questions ----
  [[nodiscard]] bool empty() const { return entries_.empty(); }
  [[nodiscard]] std::size_t size() const { return entries_.size(); }
  [[nodiscard]] const Allocation* find(const RelayId& id) const;
  [[nodiscard]] std::optional<RelaySlot> slot_of(const RelayId& id) const;
  [[nodiscard]] std::optional<RelayId> id_of(RelaySlot slot) const;
  [[nodiscard]] std::optional<RelayId> relay_with_server(const SocketAddress& server) const;
  [[nodiscard]] std::optional<RelayId> relay_owning(const SocketAddress& relayed_address) const;
  [[nodiscard]] std::vector<RelayId> ids() const;  // in the order they were added
  // A relay for a new or migrating connection, by round-trip time (BC); none while no relay has
  // been measured. Those that allocated go before those that only answered.
  std::optional<RelayId> select();
  // Any relay, measured or not (A).
  std::optional<RelayId> select_any();
  [[nodiscard]] bool was_heard_after(Instant moment) const;         // any of them
  [[nodiscard]] std::uint64_t refused() const { return refused_; }  // relays over kRelaysMax

 private:
  struct Entry {
    RelayId id;
    RelaySlot slot{};
    std::unique_ptr<Allocation> allocation;
  };

  [[nodiscard]] Entry* entry(const RelayId& id);
  // The preferred one of the relays with this server socket, or the first.
  template <class Prefer>
  [[nodiscard]] Entry* entry_with_server(const SocketAddress& server, Prefer prefer);
  void start(const Relay& relay, Instant now);
  void refresh(const RelayId& id, Instant now);
  void remove(const RelayId& id, RelayGone::Why why, Instant now);
  void pump(Entry& known);
  void leave_silent(Instant now);
  void forget(const RelayId& id, RelayGone::Why why);
  [[nodiscard]] std::optional<RelaySlot> free_slot() const;

  Options options_;
  Random& random_;
  std::vector<Entry> entries_;
  RecentRelays recent_;
  std::uint8_t next_slot_ = 0;
  std::uint64_t refused_ = 0;
  Instant last_now_{};
  std::deque<Datagram> datagrams_;
  std::deque<SetEvent> events_;
};

}  // namespace fg::turn
