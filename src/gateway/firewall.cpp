#include "gateway/firewall.h"

#include <nftables/libnftables.h>

#include <algorithm>
#include <memory>

#include "gateway/forward_policy.h"

namespace fg::gateway {
namespace {

constexpr std::string_view kUsualName = "tun-firezone";  // spec operations 9

struct Outcome {
  bool ok = false;
  std::string output;
  std::string error;  // first line
};

Outcome run(const std::string& commands, unsigned output_flags = 0) {
  const std::unique_ptr<nft_ctx, decltype(&nft_ctx_free)> context{nft_ctx_new(NFT_CTX_DEFAULT),
                                                                  &nft_ctx_free};
  if (!context) return {false, "", "libnftables does not start"};
  nft_ctx_buffer_error(context.get());
  nft_ctx_buffer_output(context.get());
  nft_ctx_output_set_flags(context.get(), output_flags);
  Outcome out;
  out.ok = nft_run_cmd_from_buffer(context.get(), commands.c_str()) == 0;
  if (const auto* output = nft_ctx_get_output_buffer(context.get()); output != nullptr)
    out.output = output;
  if (const auto* error = nft_ctx_get_error_buffer(context.get()); error != nullptr) {
    out.error = error;
    out.error.resize(std::min(out.error.find('\n'), out.error.size()));
  }
  return out;
}

}  // namespace

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
  return out + "add chain " + table +
         " postrouting { type nat hook postrouting priority 100; }\nadd rule " + table +
         " postrouting " + from_clients + "counter masquerade\n";
}

std::string Firewall::listing(Family of) const {
  const auto listed =
      run(std::string{"list table "} + (of == Family::v6 ? "ip6 " : "ip ") + table_ + "\n",
          NFT_CTX_OUTPUT_STATELESS);
  return listed.ok ? listed.output : "";
}

Result<void, std::string> Firewall::install() {
  if (const auto v4 = run(ruleset(Family::v4)); !v4.ok) {
    return fail("nft: the table 'ip " + table_ + "' cannot be installed (" + v4.error +
                "): load the kernel module nf_tables and run with CAP_NET_ADMIN, or set "
                "FIREGATE_MASQUERADE=off and translate "
                "sources yourself");
  }
  installed_v4_ = listing(Family::v4);
  // A host without IPv6 has no such table, and no such traffic.
  installed_v6_ = run(ruleset(Family::v6)).ok ? listing(Family::v6) : "";
  return {};
}

bool Firewall::is_installed() const {
  return !installed_v4_.empty() && listing(Family::v4) == installed_v4_ &&
         (installed_v6_.empty() || listing(Family::v6) == installed_v6_);
}

void Firewall::remove() {
  (void)run("delete table ip " + table_ + "\n");
  if (!installed_v6_.empty()) (void)run("delete table ip6 " + table_ + "\n");
}

std::vector<std::string> Firewall::obstacles() const {
  return forward_obstacles(run("list ruleset\n", NFT_CTX_OUTPUT_JSON | NFT_CTX_OUTPUT_TERSE).output,
                           tun_name_);
}

}  // namespace fg::gateway
