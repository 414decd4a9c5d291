// TURN client of one relay: BINDING to its sockets, one allocation with up to two relayed
// addresses, its channels, refresh and keepalive (RFC 8656, spec connectivity 3). Sans-IO: one
// input, drain poll_datagram() and poll_event(), sleep until wakeup(). Left out: CREATE-PERMISSION,
// SEND and DATA indications, TCP, EVEN-PORT, third-party authorization.
//
//   state        | input                                   | becomes
//   probing      | first BINDING success                   | allocating; that socket is the active
//   one probing      | 8.125 s without answer                  | freed (no_response) allocating   |
//   ALLOCATE success                        | allocated; buffered binds go out allocating   | 401
//   without, then with nonce            | freed (authentication) allocating   | 437 | delete, then
//   ALLOCATE again allocating   | other error, foreign realm, no lifetime | suspended allocated |
//   437                                     | allocating; candidates and channels are void
//   allocated    | full lifetime without refresh           | suspended
//   any but freed| 420                                     | freed (protocol_failure)
//   with active  | request unanswered for 8.125 s          | freed (no_response)
//   suspended    | refresh()                               | probing
//
// Which responses count (spec connectivity 3.4, 7.2): source and transaction id (96 random bits)
// must match a request in flight. BINDING responses need no more. Any other with a wrong
// MESSAGE-INTEGRITY is ignored. One without is accepted only until this relay has signed a response
// once: relays of generation A never sign, those of B and C always do, so the first challenge
// settles it and who does not see our packets gains nothing either way. Options tighten or loosen
// this.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/address.h"
#include "base/bytes.h"
#include "base/drop_reason.h"
#include "base/ids.h"
#include "base/random.h"
#include "base/secret.h"
#include "base/time.h"
#include "control/stun/message.h"
#include "control/turn/channels.h"
#include "control/turn/requests.h"

namespace fg::turn {

// What the portal says about one relay, the entries of both families merged.
struct Relay {
  RelayId id;
  std::optional<SocketAddress> v4;
  std::optional<SocketAddress> v6;
  std::string username;
  SecretText password;
  friend bool operator==(const Relay&, const Relay&) = default;
};

struct Options {
  // required: a response without MESSAGE-INTEGRITY never counts (spec connectivity 3.4, BC).
  enum class Integrity : std::uint8_t { learned, required };
  Integrity integrity = Integrity::learned;
  // For coturn, spec connectivity 7.5; Firezone's relays need neither.
  bool first_allocate_without_auth = false;
  bool accept_unsigned_challenges = false;  // 401, 438 and 437 without MESSAGE-INTEGRITY
  std::string software = "snownet";         // spec connectivity 3.2
  // Ask a relay that fell silent whether it is there (spec connectivity 3.7). Off: as the
  // originals, whose own traffic keeps them from asking.
  bool ask_when_silent = true;
};

struct Datagram {
  SocketAddress to;  // the source address is routing's choice (spec connectivity 1.2)
  ByteVector bytes;
};

// An address we can be reached at, for the ICE agents.
struct Candidate {
  enum class Kind : std::uint8_t { host, server_reflexive, relayed };
  Kind kind = Kind::host;
  SocketAddress address;
  // Our own address it was learnt at: equal to address for host, the base of server_reflexive,
  // raddr of relayed.
  SocketAddress local;
  friend bool operator==(const Candidate&, const Candidate&) = default;
};

enum class FreedReason : std::uint8_t { no_response, authentication, protocol_failure };

struct CandidateLearnt {
  Candidate candidate;
};
struct CandidateInvalidated {
  Candidate candidate;
};
// pending: may be sent on. confirmed: may also be received from. removed: neither.
struct ChannelChanged {
  enum class State : std::uint8_t { pending, confirmed, removed };
  ChannelNumber number{};
  SocketAddress peer;
  State state = State::pending;
};
// Where ChannelData goes to and comes from; none while there is no active socket.
struct ActiveServerChanged {
  std::optional<SocketAddress> server;
};
// Nothing is allocated, asked or waited for, until refresh().
struct Suspended {};
// Always the last event of an allocation.
struct Freed {
  FreedReason reason = FreedReason::no_response;
};
using Event = std::variant<CandidateLearnt, CandidateInvalidated, ChannelChanged,
                           ActiveServerChanged, Suspended, Freed>;

struct Stats {
  std::uint64_t binds_dropped = 0;       // pushed out of the buffer of kBufferedBindsMax
  std::uint64_t channels_exhausted = 0;  // all 4096 numbers taken
};

inline constexpr std::size_t kBufferedBindsMax = 100;  // spec connectivity 3.8
inline constexpr std::size_t kRefusalsMax = 256;       // the oldest is forgotten
inline constexpr Duration kRefusalPause = 1s;

class Allocation {
 public:
  // random makes transaction ids and must outlive the allocation.
  Allocation(Relay relay, Options options, Random& random, Instant now);

  // ---- inputs ----
  // A STUN message from one of our server sockets. local: destination of the datagram. The reason
  // if it answers nothing of ours or does not authenticate.
  std::optional<DropReason> on_message(const SocketAddress& from, const SocketAddress& local,
                                       const stun::Message& message, Instant now);
  void on_timeout(Instant now);
  // Asks for a channel; idempotent. Answered by ChannelChanged, or not at all.
  void bind_channel(const SocketAddress& peer, Instant now);
  // Data was received on a confirmed channel (told by whoever moves the data).
  void on_channel_data(ChannelNumber number, Instant now);
  // Proactive check of the relay (spec connectivity 3.10): one REFRESH for 1 s, or a restart when
  // suspended.
  void refresh(Instant now);
  // Asks whether the relay is still there, unless that was asked already.
  void confirm(Instant now);
  // Asks anew: what was asked before is forgotten.
  void confirm_again(Instant now);
  // The owner has reason to believe that no answer will come: freed now instead of when all sends
  // are used up.
  void give_up_waiting(Instant now);
  // Our own address or route may have changed: asks both sockets where we are now. What follows is
  // up to the answers: another address makes other candidates, and a REFRESH asks for the
  // allocation, which belongs to the old one.
  void probe(Instant now);
  // Invalidates candidates and channels without a word to the relay and goes silent. No Freed event
  // follows.
  void abandon(Instant now);

  // ---- outputs ----
  std::optional<Datagram> poll_datagram();
  std::optional<Event> poll_event();
  [[nodiscard]] std::optional<Wakeup> wakeup() const;

  // ---- questions ----
  [[nodiscard]] const Relay& relay() const { return relay_; }
  [[nodiscard]] bool is_server(const SocketAddress& address) const {
    return address == relay_.v4 || address == relay_.v6;
  }
  // A request with this transaction id is in flight.
  [[nodiscard]] bool awaits(const stun::TransactionId& id) const { return requests_.has(id); }
  [[nodiscard]] std::optional<SocketAddress> active_server() const { return active_; }
  [[nodiscard]] std::optional<SocketAddress> relayed(Family family) const;
  [[nodiscard]] bool owns(const SocketAddress& relayed_address) const;
  [[nodiscard]] std::vector<Candidate> candidates() const;  // everything learnt and valid
  [[nodiscard]] std::optional<Duration> rtt() const { return srtt_; }
  [[nodiscard]] std::optional<ChannelNumber> channel_for(const SocketAddress& peer,
                                                         Instant now) const;
  [[nodiscard]] std::optional<SocketAddress> peer_of(ChannelNumber number, Instant now) const;
  [[nodiscard]] bool has_lease() const { return lease_.has_value(); }
  [[nodiscard]] bool is_suspended() const;
  // When anything of the relay's last arrived.
  [[nodiscard]] Instant last_heard() const { return last_heard_; }
  // Since when confirm() waits, if nothing at all was heard after it began.
  [[nodiscard]] std::optional<Instant> silent_since() const;
  [[nodiscard]] bool is_freed() const { return phase_ == Phase::freed; }
  [[nodiscard]] const Stats& stats() const { return stats_; }

 private:
  enum class Phase : std::uint8_t { live, freed };
  // The relay's promise, void after expires_at.
  struct Lease {
    std::optional<Candidate> v4;
    std::optional<Candidate> v6;
    Instant refresh_at{};
    Instant expires_at{};
  };
  // What BINDING told, per family of the server socket.
  struct Reflexive {
    std::optional<Candidate> host;
    std::optional<Candidate> mapped;
    Instant learnt_at{};
  };
  // A peer the relay gives no channel to: asked again at once (spec connectivity 3.8), then not
  // more often than the pause allows.
  struct Refusal {
    SocketAddress peer;
    Instant at;
    bool again = false;
  };

  void start_probing(Instant now);
  void allocate(Instant now);
  void send_bind(const SocketAddress& peer, ChannelNumber number, Instant now);
  void send(Request request, Instant now);
  void transmit(Request& request);

  [[nodiscard]] bool is_authentic(const Request& request, const stun::Message& message);
  void on_success(const Request& request, const SocketAddress& local, const stun::Message& message,
                  Instant now);
  void on_binding_success(const Request& request, const SocketAddress& local,
                          const stun::Message& message, Instant now);
  void on_allocate_success(const SocketAddress& local, const stun::Message& message, Instant now);
  void on_refresh_success(const stun::Message& message, Instant now);
  void on_bind_success(const Request& request, Instant now);
  void on_error(const Request& request, const stun::Message& message, Instant now);
  void on_challenge(Request request, const stun::Message& message, Instant now);
  void on_mismatch(const Request& request, Instant now);
  void drop(const Request& request, Instant now);
  void give_up(const Request& request);
  void settle();

  void buffer_bind(const SocketAddress& peer);
  void note_refusal(const SocketAddress& peer, Instant now);
  [[nodiscard]] bool must_pause(const SocketAddress& peer, Instant now) const;
  void run_buffered_binds(Instant now);
  void learn(std::optional<Candidate>& known, const Candidate& candidate);
  void set_active(std::optional<SocketAddress> server);
  void set_lease_times(std::uint32_t lifetime_s, Instant now);
  void sample_rtt(const Request& request, Instant now);
  void invalidate();
  void free(FreedReason reason);
  [[nodiscard]] bool is_refreshing() const;
  [[nodiscard]] std::optional<Instant> refresh_at() const;
  [[nodiscard]] std::optional<Instant> keepalive_at() const;

  Relay relay_;
  Options options_;
  Random& random_;
  Secret<16> key_;
  std::string nonce_;
  bool relay_signs_ = false;

  Phase phase_ = Phase::live;
  std::optional<SocketAddress> active_;
  std::optional<Lease> lease_;
  Reflexive reflexive_v4_;
  Reflexive reflexive_v6_;
  Requests requests_;
  Channels channels_;
  std::deque<SocketAddress> buffered_binds_;
  std::deque<Refusal> refusals_;  // oldest first
  unsigned mismatches_ = 0;       // 437s since the relay last confirmed the allocation
  std::optional<Duration> srtt_;
  Instant last_heard_{};
  Duration ask_after_;  // how long silence may last
  bool told_suspended_ = false;
  Instant last_now_{};
  Stats stats_;

  std::deque<Datagram> datagrams_;
  std::deque<Event> events_;
};

}  // namespace fg::turn
