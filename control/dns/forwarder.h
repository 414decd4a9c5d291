// Queries of clients to the site's name server and its answers back (spec policy 7): who is asked,
// for how long, which answers are believed, and SERVFAIL when there is none. Answers are neither
// looked into nor kept. What carries the bytes is control/net's.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <variant>
#include <vector>

#include "base/address.h"
#include "base/drop_reason.h"
#include "base/random.h"
#include "base/time.h"
#include "base/token_bucket.h"
#include "control/dns/message.h"
#include "control/dns/name_servers.h"

namespace fg::dns {

inline constexpr std::size_t kForwardsMax = 1000;      // spec policy 0.5
inline constexpr std::size_t kForwardsClientMax = 64;  // as spec policy 8.2 has it for lookups
// A client asks for a service or a mail server now and then.
inline constexpr Duration kQueryInterval = 10ms;
inline constexpr int kQueryBurst = 200;
inline constexpr std::size_t kAskersMax = 32'768;  // addresses whose rate is remembered
inline constexpr Duration kForwardTimeout = 5s;    // spec policy 0.5

enum class ExchangeId : std::uint64_t {};

class Forwarder {
 public:
  // One message to one name server, from a socket of its own that nothing else arrives at.
  struct Exchange {
    ExchangeId id{};
    Transport transport{};
    SocketAddress server;
    ByteVector message;
  };
  struct Answer {
    ExchangeId id{};
    ByteVector message;
  };

  Forwarder(Random& random, DropCounters& drops) : random_(random), drops_(drops) {}

  void set_servers(std::vector<SocketAddress> servers, Instant now);
  // None: no query, or one too many, to be ignored (UDP) or punished with the end of the connection
  // (TCP). Else there will be one answer, unless abandoned.
  std::optional<ExchangeId> on_query(Transport transport, const IpAddress& client, Bytes message,
                                     Instant now);
  // Whatever arrived at the exchange's socket.
  void on_message(ExchangeId id, const SocketAddress& from, Bytes message, Instant now);
  // The socket does not send, or reports an error.
  void on_failure(ExchangeId id, Instant now);
  // Whoever asked is gone.
  void abandon(ExchangeId id);
  void on_timeout(Instant now);

  std::optional<Exchange> poll_exchange();
  std::optional<Answer> poll_answer();
  // An exchange that needs its socket no longer.
  std::optional<ExchangeId> poll_over();
  [[nodiscard]] std::optional<Wakeup> wakeup() const;
  // Of queries, probes aside.
  [[nodiscard]] std::size_t in_flight() const { return forwards_; }

 private:
  struct Asked {
    IpAddress client;
    std::uint16_t id;  // the client's own
  };
  struct Pending {
    std::variant<Asked, NameServers::Probe> purpose;
    Transport transport{};
    SocketAddress server;
    ByteVector message;  // as sent
    Instant deadline;
  };
  struct Asker {
    std::size_t in_flight = 0;
    TokenBucket queries{kQueryInterval, kQueryBurst};
  };
  using Exchanges = std::map<ExchangeId, Pending>;

  [[nodiscard]] Asker* asker_of(const IpAddress& client, Instant now);
  ExchangeId begin(Pending pending);
  void end(Exchanges::iterator at);
  void fail(Exchanges::iterator at);
  void answer(ExchangeId id, Transport transport, ByteVector message);
  void begin_probes(Instant now);

  Random& random_;
  DropCounters& drops_;
  NameServers servers_;
  std::uint64_t next_id_ = 1;
  Exchanges exchanges_;
  std::set<std::pair<Instant, ExchangeId>> deadlines_;
  std::map<IpAddress, Asker> askers_;
  std::size_t forwards_ = 0;
  std::deque<Exchange> started_;
  std::deque<Answer> answers_;
  std::deque<ExchangeId> over_;
  Instant last_now_{};
};

}  // namespace fg::dns
