#include "gateway/firewall.h"

#include "gateway/forward_policy.h"
#include "gateway/nft.h"
#include "gateway/outgoing_filters.h"
#include "gateway/tracking_users.h"

namespace fg::gateway {
namespace {

constexpr std::string_view kUsualName = "tun-firezone";  // spec operations 9

}  // namespace

// A privileged port the kernel gives to sources that have one; the last leaves no range above it.
bool Firewall::is_avoidable(std::uint16_t port) { return port > 1024 && port < 65535; }

Firewall::Firewall(std::string tun_name, std::vector<Cidr> preserved)
    : tun_name_(std::move(tun_name)),
      table_(tun_name_ == kUsualName ? "firegate" : "firegate-" + tun_name_),
      preserved_(std::move(preserved)) {}

std::string Firewall::ruleset(Family of) const {
  const bool v6 = of == Family::v6;
  const std::string family = v6 ? "ip6" : "ip";
  const std::string range = v6 ? "fd00:2021:1111::/107" : "100.64.0.0/11";  // spec policy 1.1
  const std::string table = family + " " + table_;
  const std::string from_clients =
      family + " saddr " + range + " oifname != \"" + tun_name_ + "\" ";
  // Adding before deleting makes the deletion succeed whether or not a table was left behind.
  std::string out =
      "add table " + table + "\ndelete table " + table + "\nadd table " + table + "\n";
  std::string preserved;
  for (const auto& network : preserved_) {
    if (network.family() == of) preserved += (preserved.empty() ? "" : ", ") + network.to_string();
  }
  if (!preserved.empty()) {
    // The first translation of a connection counts: before other tables', which are at 100.
    out += "add set " + table + " preserved { type " + (v6 ? "ipv6_addr" : "ipv4_addr") +
           "; flags interval; auto-merge; elements = { " + preserved + " } }\nadd chain " + table +
           " preserve { type nat hook postrouting priority 99; }\nadd rule " + table +
           " preserve " + from_clients + family + " daddr @preserved counter snat " + family +
           " prefix to " + family + " saddr map { " + range + " : " + range + " }\n";
  }
  out += "add chain " + table + " postrouting { type nat hook postrouting priority 100; }\n";
  const auto add_rule = [&](const std::string& rest) {
    out += "add rule " + table + " postrouting " + from_clients + rest + "\n";
  };
  // Ports stay what they are where they can: from a range to itself, ours left out.
  if (const auto port = v6 ? ports_.v6 : ports_.v4; is_avoidable(port)) {
    const auto below = "1024-" + std::to_string(port - 1);
    add_rule("udp sport " + below + " counter masquerade to :" + below);
    add_rule("udp sport " + std::to_string(port) +
             "-65535 counter masquerade to :" + std::to_string(port + 1) + "-65535");
  }
  add_rule("counter masquerade");
  return out;
}

std::string Firewall::listing(Family of) const {
  return Nft{}.listing((of == Family::v6 ? "ip6 " : "ip ") + table_);
}

Result<void, std::string> Firewall::install() {
  if (const auto v4 = Nft{}.run(ruleset(Family::v4)); !v4.ok) {
    return fail("nft: the table 'ip " + table_ + "' cannot be installed (" + v4.error +
                "): load the kernel module nf_tables and run with CAP_NET_ADMIN, or set "
                "FIREGATE_MASQUERADE=off and translate "
                "sources yourself");
  }
  installed_v4_ = listing(Family::v4);
  // A host without IPv6 has no such table, and no such traffic.
  installed_v6_ = Nft{}.run(ruleset(Family::v6)).ok ? listing(Family::v6) : "";
  return {};
}

bool Firewall::is_installed() const {
  return !installed_v4_.empty() && listing(Family::v4) == installed_v4_ &&
         (installed_v6_.empty() || listing(Family::v6) == installed_v6_);
}

void Firewall::remove() {
  (void)Nft{}.run("delete table ip " + table_ + "\n");
  if (!installed_v6_.empty()) (void)Nft{}.run("delete table ip6 " + table_ + "\n");
}

OtherTables Firewall::others() const {
  OtherTables out;
  const auto keep_first = [](std::optional<std::string>& first, const std::string& why) {
    if (!first) first = why;
  };
  const auto use = [&](const std::string& why) {
    keep_first(out.tracking_user, why);
    keep_first(out.outgoing_filter, why);
  };
  const auto tables = list_tables();
  out.is_complete = tables.has_value();
  if (!tables) use("the nftables tables cannot be listed");
  Nft nft;
  for (const auto& table : tables.value_or(std::vector<NftTable>{})) {
    if (table.name == table_) continue;
    if (!table.is_readable()) {
      use("table " + table.family + " " + table.name + " is dormant or somebody's own");
      continue;
    }
    const auto text = nft.json_of(table);
    out.is_complete = out.is_complete && !text.empty();
    for (auto& obstacle : forward_obstacles(text, tun_name_))
      out.obstacles.push_back(std::move(obstacle));
    if (const auto user = tracking_user(text)) keep_first(out.tracking_user, *user);
    if (const auto filter = outgoing_filter(text)) keep_first(out.outgoing_filter, *filter);
  }
  return out;
}

}  // namespace fg::gateway
