// The swarm's loop: brings clients in at a rate, keeps one busy, lets others come and go, and keeps
// the books.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>

#include "control/ice/dispatch.h"
#include "crypto/aead.h"
#include "crypto/random.h"
#include "tests/support/client/sockets.h"
#include "tests/support/swarm/client.h"
#include "tests/support/swarm/relay.h"

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
  std::uint64_t failed = 0;
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
  struct Member {
    std::unique_ptr<Client> client;
    std::optional<Instant> asked;  // its first request, sent again until answered
    std::optional<Instant> due;
    bool is_let_in = false;
    bool is_served = false;
  };

  void on_joined();
  void on_message(const std::string& event, const Json& payload);
  void let_in();
  void forget(std::uint32_t number);
  void turn();
  void receive();
  void on_datagram(MutableBytes datagram, const SocketAddress& from, const SocketAddress& local);
  void serve(Member& member);
  void drain(Member& member);
  void reschedule(Member& member);
  void replace_some();
  void ask();
  void send(const SocketAddress& to, Bytes bytes, client::Sockets& by);
  [[nodiscard]] client::Sockets& socket_of(const Client& client);
  [[nodiscard]] Member* member(std::uint32_t number);
  void report(const char* what);

  Options options_;
  crypto::SystemRandom random_;
  crypto::AeadEngine engine_;
  boost::asio::io_context io_;
  Portal portal_;
  Relay relay_;
  std::vector<client::Sockets> sockets_;  // the first is the relay's
  ice::Dispatch<std::uint32_t> dispatch_;
  std::map<std::uint32_t, Member> members_;
  std::set<std::pair<Instant, std::uint32_t>> deadlines_;
  std::map<std::uint32_t, Instant> outstanding_;  // steady requests by sequence
  std::uint32_t next_number_ = 1;
  std::uint32_t next_sequence_ = 1;
  Instant now_;
  WallTime wall_;
  std::optional<Instant> joined_;
  std::optional<Instant> complete_;
  Tally tally_;
};

}  // namespace fg::swarm
