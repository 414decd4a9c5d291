// The swarm's loop: brings clients in at a rate, keeps one busy, lets others come and go, and keeps
// the books.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <vector>

#include "tests/support/client/sockets.h"
#include "tests/support/swarm/crowd.h"

namespace fg::swarm {

struct Options {
  SocketAddress listen;  // the portal; relay and clients have the same address
  SocketAddress echo;    // behind the gateway
  std::uint32_t clients = 100;
  double rate = 100;  // clients let in a second
  double steady = 0;  // requests a second of the first client
  double calm = 0;  // seconds after all are in at which the first client falls silent too; 0: never
  double churn = 0;    // once all are in: clients replaced a second
  double seconds = 0;  // after all are in; 0: until told to stop
};

struct Tally {
  std::uint64_t let_in = 0;
  std::uint64_t sessions = 0;
  std::uint64_t served = 0;  // clients whose first request was answered
  std::uint64_t left = 0;
  std::uint64_t requests = 0;  // of the steady client
  std::uint64_t answers = 0;
  std::vector<double> milliseconds;  // of each answer
};

class Swarm {
 public:
  explicit Swarm(Options options);

  // Until stop is set.
  void run(const volatile int& stop);

 private:
  void turn();
  void receive();
  void on_datagram(MutableBytes datagram, const SocketAddress& from, const SocketAddress& local);
  void let_in();
  void introduce(Member& member);
  void on_echoed(Member& member, const Echoed& echoed);
  void replace_some();
  void ask();
  void send(const SocketAddress& to, Bytes bytes, client::Sockets& by);
  [[nodiscard]] client::Sockets& socket_of(const Place& place);
  void report(const char* what);

  Options options_;
  Crowd crowd_;
  std::vector<client::Sockets> sockets_;  // the first is the relay's
  std::set<std::uint32_t> waiting_;       // asked for the first time, not answered yet
  std::set<std::uint32_t> served_;
  std::map<std::uint32_t, Instant> outstanding_;  // steady requests by sequence
  std::uint32_t next_number_ = 1;
  std::uint32_t next_sequence_ = 1;
  Instant now_;
  std::optional<Instant> steady_since_;
  std::optional<Instant> complete_;
  Tally tally_;
};

}  // namespace fg::swarm
