// Which of the site's name servers is asked (spec policy 7). Every minute each is asked for an
// address over UDP and TCP; the one that answered first in the last finished round is taken, for
// TCP the first of those that answer over TCP. While none has answered it is the first of
// resolv.conf.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <optional>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/time.h"

namespace fg::dns {

inline constexpr std::string_view kProbedName = "firezone.dev";  // spec policy 7
inline constexpr Duration kRoundInterval = 60s;                  // spec policy 0.5
inline constexpr Duration kProbeTimeout = 2s;                    // spec policy 0.5
inline constexpr std::size_t kServersMax = 10;  // spec policy 0.5: 20 probes, two for each
// A query that failed asks for a round before its time.
inline constexpr Duration kRoundPause = 5s;

enum class Transport : std::uint8_t { udp, tcp };

// Addresses of its `nameserver` lines, at most kServersMax. Link-local ones with a zone are left
// out.
[[nodiscard]] std::vector<IpAddress> parse_resolv_conf(std::string_view text);

class NameServers {
 public:
  struct Probe {
    std::uint32_t round = 0;
    Transport transport{};
    SocketAddress server;
  };

  // A round begins at once.
  void set(std::vector<SocketAddress> servers, Instant now);
  void on_timeout(Instant now);
  // Every probe ends once; one of a former round changes nothing.
  void on_probed(const Probe& probe, bool is_answered);
  void on_query_failed();

  std::optional<Probe> poll_probe();
  [[nodiscard]] std::optional<Wakeup> wakeup() const;
  [[nodiscard]] std::optional<SocketAddress> best(Transport transport) const;

 private:
  using Winner = std::optional<SocketAddress>;
  using Winners = std::array<Winner, 2>;  // by transport

  std::vector<SocketAddress> servers_;
  std::deque<Probe> probes_;
  std::uint32_t round_ = 0;
  std::size_t open_ = 0;  // probes of this round without a result
  Instant began_{};
  std::optional<Instant> next_;
  Winners winners_{};  // of the last round
  Winners so_far_{};   // of this one
};

}  // namespace fg::dns
