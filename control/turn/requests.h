// Requests in flight and when each is sent again (spec connectivity 3.5): 0, 1, 2.5 and 4.75 s,
// given up at 8.125 s.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/address.h"
#include "base/ids.h"
#include "base/time.h"
#include "control/stun/message.h"

namespace fg::turn {

struct Request {
  enum class Kind : std::uint8_t {
    binding,
    confirm,  // BINDING to a relay whose data ceased; repeated sooner
    probe,    // a BINDING whose silence means nothing
    allocate,
    refresh,
    proactive_refresh,
    remove,
    channel_bind
  };
  Kind kind = Kind::binding;
  SocketAddress to{};
  SocketAddress peer{};     // channel_bind
  ChannelNumber channel{};  // channel_bind

  stun::TransactionId id{};
  bool carries_nonce = false;
  std::uint8_t challenges = 0;  // how often the relay asked for another nonce
  std::uint8_t sends = 0;
  Instant first_sent{};
  Instant due{};  // next send, or the end
};

[[nodiscard]] stun::Method method_of(Request::Kind kind);

class Requests {
 public:
  // Sets the clock of a request about to be sent for the first time and keeps it.
  Request& add(Request request, Instant now);
  // The request with this id, method and destination.
  [[nodiscard]] std::optional<std::size_t> find(const stun::TransactionId& id, stun::Method method,
                                                const SocketAddress& to) const;
  void clear() { requests_.clear(); }

  // A request that is due. A resend's schedule is advanced past now: sends missed by a late call
  // are skipped.
  struct Due {
    enum class What : std::uint8_t { resend, give_up };
    What what = What::resend;
    std::size_t index = 0;
  };
  std::optional<Due> next_due(Instant now);
  [[nodiscard]] Request& at(std::size_t index) { return requests_[index]; }
  Request remove(std::size_t index);
  void remove(Request::Kind kind);

  [[nodiscard]] bool empty() const { return requests_.empty(); }
  [[nodiscard]] bool has(Request::Kind kind) const;
  [[nodiscard]] bool has(const stun::TransactionId& id) const;
  [[nodiscard]] bool has_binding_to(const SocketAddress& server) const;
  [[nodiscard]] bool has_bind_for(const SocketAddress& peer) const;
  [[nodiscard]] const std::vector<Request>& all() const { return requests_; }
  [[nodiscard]] std::optional<Instant> next() const;

 private:
  std::vector<Request> requests_;  // in order of their first send
};

}  // namespace fg::turn
