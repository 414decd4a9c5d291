// The clients of a swarm, their portal and its relay: who is let in, which datagram is whose, who
// is due. Sockets and loop are the owner's.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include <boost/asio/io_context.hpp>

#include "control/ice/dispatch.h"
#include "crypto/aead.h"
#include "crypto/random.h"
#include "tests/support/swarm/client.h"
#include "tests/support/swarm/portal.h"
#include "tests/support/swarm/relay.h"

namespace fg::swarm {

struct Member {
  std::unique_ptr<Client> client;
  std::optional<Instant> again;  // when the owner wants its turn, whatever the client wants
  std::optional<Instant> due;
  Instant asked_first;  // the gateway, to let it in
  Instant asked_last;
  bool is_let_in = false;
};

class Crowd {
 public:
  struct Options {
    SocketAddress listen;  // the portal; the relay has the same address
    IpAddress resource;    // what clients may reach
    std::optional<Generation> generation =
        std::nullopt;  // of the portal; none: as the gateway asks
  };
  struct Hooks {
    std::function<void(const Place& by, const SocketAddress& to, Bytes bytes)> send;
    std::function<void(Member&)> on_turn;  // whenever one was served
    std::function<void(Member&, const Echoed&)> on_echoed;
  };

  Crowd(Options options, Hooks hooks);

  // Once a turn of the owner's loop, before anything else.
  void set_time(Instant now, WallTime wall);
  void poll();  // the portal's connections
  void serve_due();
  [[nodiscard]] std::optional<Instant> next() const;

  void let_in(const Place& place);
  // Without portal and ICE: a plain WireGuard peer of the gateway with that key.
  void add_peer(const Place& place, const std::string& gateway_key, const SocketAddress& gateway);
  void forget(std::uint32_t number);
  void serve(Member& member);
  void drain(Member& member);

  // A datagram for a client. `whose` it is, where the owner knows: initiations name nobody.
  void on_datagram(MutableBytes datagram, const SocketAddress& from,
                   std::optional<std::uint32_t> whose = std::nullopt);
  [[nodiscard]] std::optional<ByteVector> relay_answer(Bytes datagram, const SocketAddress& from) {
    return relay_.answer(datagram, from);
  }

  [[nodiscard]] std::map<std::uint32_t, Member>& members() { return members_; }
  [[nodiscard]] Member* find(std::uint32_t number);
  [[nodiscard]] crypto::AeadEngine& engine() { return engine_; }
  [[nodiscard]] Instant now() const { return now_; }
  [[nodiscard]] std::optional<Instant> joined() const { return joined_; }
  [[nodiscard]] std::uint64_t failed() const { return failed_; }
  [[nodiscard]] Generation generation() const { return portal_.generation(); }
  // No gateway lets a client in before (spec connectivity 3.11).
  [[nodiscard]] bool has_allocation() const { return relay_.counts().allocations != 0; }
  // How far the gateway and its clients have come.
  [[nodiscard]] Json progress() const;

 private:
  void on_joined();
  void on_message(const std::string& event, const Json& payload);
  void on_agreed(Member& member, const Agreement& agreed);
  [[nodiscard]] Json relays() const;
  [[nodiscard]] static bool is_waiting(const Member& one) {
    return !one.is_let_in && !one.client->is_plain();
  }
  void ask(Member& member);
  void ask_again(Member& member);
  void reschedule(Member& member);

  Options options_;
  Hooks hooks_;
  crypto::SystemRandom random_;
  crypto::AeadEngine engine_;
  boost::asio::io_context io_;
  Portal portal_;
  Relay relay_;
  ice::Dispatch<std::uint32_t> dispatch_;
  std::map<std::uint32_t, Member> members_;
  std::set<std::pair<Instant, std::uint32_t>> deadlines_;
  Instant now_;
  WallTime wall_;
  std::optional<Instant> joined_;
  std::uint64_t failed_ = 0;
  std::uint64_t asked_ = 0;
  std::uint64_t agreed_ = 0;
};

}  // namespace fg::swarm
