// The Phoenix channel of a client on one WebSocket after another (spec portal 1.7 to 1.13): join,
// heartbeats, replies by ref. Sans-IO, same contract as control/portal/channel.h.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <variant>

#include "base/log.h"
#include "base/time.h"
#include "base/timers.h"
#include "control/portal/codec.h"
#include "control/portal/json.h"
#include "tests/support/client/messages.h"

namespace fg::client {

inline constexpr std::size_t kQueuedMessagesMax = 1'024;
inline constexpr std::size_t kAwaitedRepliesMax = 1'024;

// Names a message whose reply matters; chosen by the sender.
enum class Tag : std::uint32_t {};

class Channel {
 public:
  struct Joined {};
  struct Failed {
    bool is_fatal = false;
    std::string reason;
  };
  struct Received {
    std::string event;
    portal::Json payload;
  };
  struct Replied {
    Tag tag{};
    bool is_ok = false;
    portal::Json response;
    std::string reason;  // of an error
  };
  using Event = std::variant<Joined, Failed, Received, Replied>;

  Channel(Generation generation, Log log) : generation_(generation), log_(std::move(log)) {}

  void on_open(Instant now);
  void on_closed();
  void on_text(std::string_view text, Instant now);
  void on_timeout(Instant now);
  // While not joined, A keeps everything, C candidates, B nothing (spec portal 1.13).
  void send(portal::Message message, std::optional<Tag> tag = std::nullopt);

  std::optional<std::string> poll_text();
  std::optional<Event> poll_event();
  [[nodiscard]] std::optional<Wakeup> wakeup() const;
  [[nodiscard]] bool is_joined() const { return state_ == State::joined; }

 private:
  enum class State : std::uint8_t { down, joining, joined };
  enum class Timer : std::uint8_t { heartbeat, join, count_ };
  struct Queued {
    portal::Message message;
    std::optional<Tag> tag;
  };

  [[nodiscard]] bool survives_outage(const portal::Message& message) const;
  void start_join(Instant now);
  void on_reply(const std::string& topic, std::optional<std::uint64_t> ref,
                const portal::Json& payload, Instant now);
  void fail_connection(bool is_fatal, std::string reason);

  Generation generation_;
  Log log_;
  State state_ = State::down;
  bool wants_join_ = false;
  bool wants_heartbeat_ = false;
  std::uint64_t next_ref_ = 0;
  std::optional<std::uint64_t> join_ref_;
  std::set<std::uint64_t> unanswered_;
  std::map<std::uint64_t, Tag> awaited_;
  std::deque<Queued> queue_;
  std::deque<Event> events_;
  TimerTable<Timer> timers_;
  Instant last_now_{};
};

}  // namespace fg::client
