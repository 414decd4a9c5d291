// The whole life of the portal connection without its socket (spec portal 1.15): log in, join,
// talk, fail, wait, log in again. Joins login.h, backoff.h and channel.h; control/net carries out
// the actions. One input, then drain actions, events and, whenever the socket is ready to write,
// texts; then sleep until wakeup().
#pragma once

#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "base/log.h"
#include "base/random.h"
#include "base/time.h"
#include "control/portal/backoff.h"
#include "control/portal/channel.h"
#include "control/portal/login.h"
#include "control/portal/messages.h"

namespace fg::portal {

// The portal keeps a broken connection for up to 37 s (spec portal 3.1) and refuses another for
// that long.
inline constexpr Duration kConflictMax = 60s;
inline constexpr Duration kConflictRetry = 2s;

class Session {
 public:
  struct Dial {
    UpgradeRequest request;
  };
  struct Drop {};  // close the socket, no Close frame
  using Action = std::variant<Dial, Drop>;

  struct Joined {
    Generation generation = Generation::c;
  };
  struct Disconnected {
    std::string reason;
    Duration retry_in{};
  };
  struct Fatal {
    std::string reason;  // ends the process; the text users know (spec operations 3.4)
  };
  using Event = std::variant<Ingress, Joined, Disconnected, Fatal>;

  Session(LoginOptions options, Duration partition_time_max, Random& random, Log log);

  void start(Instant now);
  void on_upgraded(Instant now);
  void on_refused(const UpgradeRefusal& refusal, Instant now, WallTime wall);
  // Dialling failed, or the socket closed or broke.
  void on_lost(std::string_view reason, Instant now);
  // Lost because more came at once than is read.
  void on_oversized(Instant now);
  void on_text(std::string_view text, Instant now);
  void on_timeout(Instant now);

  void send(const Egress& egress, Instant now);
  void forget_client(const ClientId& client) { channel_.forget_client(client); }

  std::optional<Action> poll_action();
  std::optional<std::string> poll_text(Instant now);
  std::optional<Event> poll_event();
  [[nodiscard]] std::optional<Wakeup> wakeup() const;

  [[nodiscard]] bool is_joined() const { return state_ == State::open && channel_.is_joined(); }
  [[nodiscard]] const ChannelCounters& counters() const { return channel_.counters(); }

 private:
  enum class State : std::uint8_t { idle, dialling, open, waiting, ended };

  void dial();
  void pump_channel(Instant now);
  void retry(std::string reason, std::optional<Duration> retry_after, Instant now);
  void end(std::string reason);

  Login login_;
  Backoff backoff_;
  Channel channel_;
  Log log_;
  State state_ = State::idle;
  Instant retry_at_{};
  bool was_joined_ = false;         // on this connection
  std::optional<Instant> lost_at_;  // a joined connection
  Instant last_now_{};
  std::deque<Action> actions_;
  std::deque<Event> events_;
};

}  // namespace fg::portal
