// The Phoenix channel on one WebSocket (spec portal 1.7 to 1.13): join, heartbeats, what the
// portal's control events mean, and what may be sent when. Lives longer than a socket: candidates
// made while the portal is away are kept for the next join, everything else that belongs to a
// connection ends with it. The socket and the way to it are session.h's.
//
// A written message may still be lost: a connection that ends takes along what TCP had not
// delivered. Candidates written after the last heartbeat that was answered are told again after the
// next join; whoever knows them already ignores them.
//
//   down --on_open--> joining --ok reply--> joined --unmatched topic--> joining (same socket)
//   any --on_closed, failure--> down
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_set>
#include <variant>
#include <vector>

#include "base/log.h"
#include "base/time.h"
#include "base/timers.h"
#include "control/portal/codec.h"

namespace fg::portal {

inline constexpr Duration kHeartbeatInterval = 10s;  // spec portal 1.9
inline constexpr std::size_t kHeartbeatsUnanswered =
    3;                                        // spec portal 1.9: the fourth fails the connection
inline constexpr Duration kJoinTimeout = 5s;  // spec portal 1.8
inline constexpr std::size_t kQueuedMessagesMax = 4'096;
inline constexpr std::size_t kHeldClientsMax = 65'536;
inline constexpr std::size_t kHeldCandidatesMax = 256;  // a client and kind
inline constexpr std::size_t kUnconfirmedMax = 4'096;   // messages; about ten seconds of them

struct ChannelCounters {
  std::uint64_t unknown_events = 0;
  std::uint64_t malformed_messages = 0;
  std::uint64_t oversized_messages = 0;  // each ended its connection
  std::uint64_t discarded_messages = 0;  // sent while not connected
  std::uint64_t merged_messages = 0;     // equal to one still queued
  std::uint64_t refused_messages = 0;    // queue full
  std::uint64_t refused_candidates = 0;  // held sets full
  std::uint64_t forgotten_messages = 0;  // of candidates: unconfirmed, and too many of them
  std::uint64_t ingress_messages = 0;
  std::uint64_t joins = 0;
};

class Channel {
 public:
  struct Joined {};
  // The connection is of no use any more: drop it without a Close frame.
  struct Failed {
    bool is_fatal = false;
    std::string reason;
  };
  using Event = std::variant<Ingress, Joined, Failed>;

  explicit Channel(Log log) : log_(std::move(log)) {}

  void on_open(bool announces_capabilities, Instant now);
  void on_closed();
  void on_text(std::string_view text, Instant now);
  void on_timeout(Instant now);

  void send(const Egress& egress, Instant now);
  // Its connection failed or closed: what is held for it has no reader any more.
  void forget_client(const ClientId& client);

  // One text at a time, when the socket is ready to write; refs are given out here, so a blocked
  // socket makes no phantoms.
  std::optional<std::string> poll_text(Instant now);
  std::optional<Event> poll_event();
  [[nodiscard]] std::optional<Wakeup> wakeup() const;

  [[nodiscard]] bool is_joined() const { return state_ == State::joined; }
  // The socket refused a message or frame before all of it was read.
  void count_oversized() { ++counters_.oversized_messages; }
  [[nodiscard]] const ChannelCounters& counters() const { return counters_; }

 private:
  enum class State : std::uint8_t { down, joining, joined };
  enum class Timer : std::uint8_t { heartbeat, join, count_ };
  struct HeldCandidates {
    std::vector<std::string> added;
    std::vector<std::string> removed;
    std::set<std::string> told;  // of them: may be known already, one way or the other
  };
  struct Queued {
    Message message;
    std::optional<BroadcastCandidates> candidates;  // what it serializes
  };

  void start_join(Instant now);
  void on_reply(const Envelope& envelope, const Json& payload, Instant now);
  void on_join_reply(bool is_ok, std::string_view reason);
  void on_joined();
  void on_disconnect(const Json& payload);
  void on_message(const Envelope& envelope, const Json& payload);
  void enqueue(Message message, std::optional<BroadcastCandidates> candidates = std::nullopt);
  void enqueue(BroadcastCandidates candidates);
  void hold(const BroadcastCandidates& message, bool was_told);
  void keep_unconfirmed(BroadcastCandidates candidates);
  void confirm(std::uint64_t written);
  void flush_held();
  void fail_connection(bool is_fatal, std::string reason);
  std::string take_ref(std::string_view topic, std::string_view event, std::string_view payload);
  void drop(std::string_view why, std::string_view event);

  Log log_;
  State state_ = State::down;
  bool announces_capabilities_ = false;
  bool has_joined_here_ =
      false;  // once on this socket: from then on candidates queue behind other messages
  bool wants_join_ = false;
  bool wants_heartbeat_ = false;
  std::uint64_t next_ref_ = 0;
  std::optional<std::uint64_t> join_ref_;
  // Heartbeats by ref, and how many messages of candidates had been written before each.
  std::map<std::uint64_t, std::uint64_t> unanswered_;
  std::deque<Queued> queue_;
  std::unordered_multiset<std::size_t> queued_hashes_;  // of queue_: most messages equal none
  std::map<ClientId, HeldCandidates> held_;
  std::deque<BroadcastCandidates> unconfirmed_;  // written on this socket, oldest first
  std::uint64_t confirmed_ = 0;                  // before the first of them
  std::deque<Event> events_;
  TimerTable<Timer> timers_;
  Instant last_now_{};
  ChannelCounters counters_;
};

}  // namespace fg::portal
