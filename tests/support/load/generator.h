// Portal and clients on one side of a gateway, the resource on the other, and loads between them: a
// gateway is to be at its limit before its load is. Packets leave by packet sockets and are counted
// by socket filters; nothing waits for an answer.
#pragma once

#include <chrono>
#include <deque>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "tests/support/client/sockets.h"
#include "tests/support/load/link.h"
#include "tests/support/swarm/crowd.h"

namespace fg::load {

using Json = nlohmann::json;

// What stands between clients and resource.
enum class Kind : std::uint8_t {
  firezone,   // a gateway that joins our portal and finds its clients by ICE
  wireguard,  // a WireGuard peer at a fixed address
  plain,      // a router
};

struct Site {
  Kind kind = Kind::firezone;
  SocketAddress listen;   // the portal; relay and clients have the same address
  SocketAddress gateway;  // of a WireGuard peer its endpoint
  std::string key;        // of a WireGuard peer, base64
  SocketAddress resource;
  std::optional<swarm::Generation> generation;  // of the portal; none: as the gateway asks
  Link::Options wan;
  Link::Options lan;
};

struct Load {
  double up = 0;  // datagrams a second, client to resource
  double down = 0;
  std::vector<std::uint16_t> sizes = {64};  // of the datagrams inside, in turn
  double seconds = 1;
  std::uint32_t clients = 1;
  std::uint32_t flows = 1;         // of each client
  std::uint32_t run = 1;           // datagrams of one flow in a row
  std::uint32_t ahead = 0;         // sealed before the clock starts, at most; the others as they go
  std::uint32_t tick_us = 200;     // between bursts
  std::uint8_t sample_mask = 255;  // Watch::set_sample_mask
  bool is_spoofed = false;  // towards the resource, from an address that is not the client's:
                            // nothing leaves the gateway
};

class Generator {
 public:
  explicit Generator(Site site);

  [[nodiscard]] std::vector<int> fds() const;
  // Whatever is due: portal, checks, handshakes, answers.
  void turn();

  [[nodiscard]] bool is_joined() const { return crowd_.joined().has_value(); }
  [[nodiscard]] swarm::Generation generation() const { return crowd_.generation(); }
  // How far a gateway and its clients have come.
  [[nodiscard]] Json progress() const { return crowd_.progress(); }
  // The first so many clients, `rate` new ones a second; until each has a session.
  Json connect(std::uint32_t clients, double rate, double seconds_max);
  // What a WireGuard peer has to know of so many clients before they connect.
  Json peers(std::uint32_t clients);
  // Opens the flows of a load, and seals ahead.
  Json prepare(const Load& load);
  Json run();
  // The clients of the last load received data unseen: they say so before their gateway wonders
  // (spec connectivity 4.6), and not while anything is measured.
  Json acknowledge();
  // Pings, one in flight.
  Json ping(std::uint32_t count, double interval_s);

 private:
  using Clock = std::chrono::steady_clock;
  struct Flow {
    SocketAddress inside;
    std::optional<SocketAddress> seen;  // where the resource sees it come from
  };
  struct Way {
    double rate = 0;
    std::uint64_t made = 0;
    std::uint64_t missed = 0;  // due, but not made because we were late
    std::uint64_t sent = 0;
    std::uint64_t overflowed = 0;  // of those, no place in the ring in front of the gateway
    std::uint64_t unsealed = 0;    // its client had no session
    std::uint32_t sequence = 0;
    Watch::Count before;
  };
  struct Samples {
    std::uint64_t good = 0;
    std::uint64_t bad = 0;
  };
  static constexpr std::size_t kBurstMax = 128;
  static constexpr std::size_t kFlows = 60'000;

  void receive();
  void on_wan(MutableBytes frame);
  void on_lan(MutableBytes frame);
  void on_arrived(Bytes payload, Samples& samples);
  void send_datagram(const swarm::Place& by, const SocketAddress& to, Bytes bytes);
  [[nodiscard]] Flow& flow_at(std::uint32_t client, std::uint32_t flow) {
    return flows_[std::size_t{client} * load_.flows + flow];
  }
  // Writes the next frame of a way; 0 when it cannot be.
  std::size_t make_up(std::uint8_t* frame);
  std::size_t make_down(std::uint8_t* frame);
  struct Next {
    std::uint32_t client;
    std::uint32_t flow;
    std::uint16_t size;
    Content content;
  };
  [[nodiscard]] Next next_of(Way& way) const;
  // At most a burst; true: more is due.
  bool send_due(Way& way, double elapsed_s, bool is_up);
  void add_peers(std::uint32_t clients);
  // The next of the first so many that should come, `from` its number on; nothing: all are here.
  std::optional<std::uint32_t> next_absent(std::uint32_t clients, std::uint32_t& from);
  void invite(std::uint32_t number);
  void open_flows();
  // Those without a flow that gets through have lost their gateway. Says so, and forgets them.
  void give_up_unopened();
  // Throws: chosen_ may name one that is gone.
  void check_none_failed(std::uint64_t before) const;
  void seal_ahead();
  void drain();
  void wait_until(Clock::time_point until);
  [[nodiscard]] static swarm::Place place_of(const SocketAddress& listen, std::uint32_t number);
  [[nodiscard]] static std::uint32_t number_of(const SocketAddress& place);
  static Json told(const Way& way, const Watch::Count& after, const Samples& samples);

  Site site_;
  swarm::Crowd crowd_;
  client::Sockets relay_;
  Link wan_;
  Link lan_;
  std::vector<swarm::Client*> chosen_;  // of the load, by position; none where there is no tunnel
  Load load_;
  std::vector<Flow> flows_;
  Way up_;
  Way down_;
  Samples at_resource_;
  Samples at_clients_;
  ByteVector ahead_;
  std::vector<std::size_t> ahead_sizes_;
  std::size_t ahead_stride_ = 0;
  std::size_t next_ahead_ = 0;
  ByteVector frames_;
  std::optional<Clock::time_point> answered_;
};

}  // namespace fg::load
