#include "control/dns/name_servers.h"

#include <algorithm>

namespace fg::dns {
namespace {

constexpr std::string_view kBlanks = " \t\r";
constexpr std::string_view kKeyword = "nameserver";

constexpr std::size_t index(Transport transport) { return static_cast<std::size_t>(transport); }

std::string_view take_until(std::string_view& text, std::string_view ends) {
  const auto out = text.substr(0, text.find_first_of(ends));
  text.remove_prefix(std::min(out.size() + 1, text.size()));
  return out;
}

}  // namespace

std::vector<IpAddress> parse_resolv_conf(std::string_view text) {
  std::vector<IpAddress> out;
  while (!text.empty() && out.size() < kServersMax) {
    auto line = take_until(text, "\n");
    if (!line.starts_with(kKeyword)) continue;
    line.remove_prefix(kKeyword.size());
    const auto start = line.find_first_not_of(kBlanks);
    if (start == 0 || start == std::string_view::npos) continue;
    line.remove_prefix(start);
    const auto ip = IpAddress::parse(take_until(line, kBlanks));
    if (ip && std::ranges::find(out, *ip) == out.end()) out.push_back(*ip);
  }
  return out;
}

void NameServers::set(std::vector<SocketAddress> servers, Instant now) {
  servers_ = std::move(servers);
  servers_.resize(std::min(servers_.size(), kServersMax));
  winners_ = {};
  probes_.clear();
  next_ = now;
  on_timeout(now);
}

void NameServers::on_timeout(Instant now) {
  if (!next_ || now < *next_) return;
  ++round_;
  began_ = now;
  next_.reset();
  if (servers_.empty()) return;
  next_ = now + kRoundInterval;
  so_far_ = {};
  for (const auto& server : servers_) {
    for (const auto transport : {Transport::udp, Transport::tcp})
      probes_.push_back({round_, transport, server});
  }
  open_ = probes_.size();
}

void NameServers::on_probed(const Probe& probe, bool is_answered) {
  if (probe.round != round_ || open_ == 0) return;
  // The first to answer is the fastest: all were asked at once.
  auto& winner = so_far_[index(probe.transport)];
  if (is_answered && !winner) winner = probe.server;
  if (--open_ == 0) winners_ = so_far_;
}

void NameServers::on_query_failed() {
  if (next_) next_ = std::min(*next_, began_ + kRoundPause);
}

std::optional<NameServers::Probe> NameServers::poll_probe() {
  if (probes_.empty()) return std::nullopt;
  const auto out = probes_.front();
  probes_.pop_front();
  return out;
}

std::optional<Wakeup> NameServers::wakeup() const {
  if (!probes_.empty()) return Wakeup{began_, "probe of a name server"};
  if (next_) return Wakeup{*next_, "name servers are compared"};
  return std::nullopt;
}

std::optional<SocketAddress> NameServers::best(Transport transport) const {
  const auto other = transport == Transport::udp ? Transport::tcp : Transport::udp;
  if (const auto& winner = winners_[index(transport)]) return winner;
  if (const auto& winner = winners_[index(other)]) return winner;
  if (servers_.empty()) return std::nullopt;
  return servers_.front();
}

}  // namespace fg::dns
