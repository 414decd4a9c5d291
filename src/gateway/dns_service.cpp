#include "gateway/dns_service.h"

#include "gateway/host_network.h"
#include "pipeline/tunnel_address.h"

namespace fg::gateway {
namespace {

std::string listed(const std::vector<IpAddress>& addresses) {
  std::string out;
  for (const auto& ip : addresses)
    out += (out.empty() ? "" : ", ") + SocketAddress{ip, dns::kServicePort}.to_string();
  return out;
}

}  // namespace

DnsService::DnsService(net::Loop& loop, Random& random, const std::string& tun_name, Log log)
    : log_(std::move(log)),
      server_(loop, random,
              {.device = tun_name, .mark = kMark, .is_client = pipeline::is_tunnel_address}) {}

void DnsService::start(std::vector<IpAddress> addresses, Fatal fatal) {
  is_started_ = true;
  server_.listen(addresses, [this, addresses, fatal = std::move(fatal)](const auto& outcome) {
    on_told(addresses, outcome, fatal);
  });
}

void DnsService::keep(std::vector<IpAddress> addresses) {
  if (!is_started_) return;
  server_.listen(addresses,
                 [this, addresses](const auto& outcome) { on_told(addresses, outcome, {}); });
}

void DnsService::on_told(const std::vector<IpAddress>& addresses,
                         const net::DnsServer::Outcome& outcome, const Fatal& fatal) {
  const auto where = listed(addresses);
  if (!outcome) {
    const auto why = outcome.error().to_string() +
                     "): stop what uses UDP or TCP port 53535, see 'ss -tulpn sport = 53535'";
    if (fatal) {
      log_.error("Failed to bind DNS servers on TUN interface (" + why, {{"addresses", where}});
      return fatal();
    }
    const auto problem = "the DNS service for clients does not listen (" + why;
    if (problem_ != problem) log_.warn(problem, {{"addresses", where}});
    problem_ = problem;
    said_.clear();
    return;
  }
  problem_.reset();
  if (said_ != where) log_.info("DNS service listens", {{"addresses", where}});
  said_ = where;
}

}  // namespace fg::gateway
