#include "gateway/firewall.h"

#include <nftables/libnftables.h>

#include <memory>

namespace fg::gateway {
namespace {

struct Outcome {
  bool ok = false;
  std::string error;  // first line
};

Outcome run(const std::string& commands) {
  const std::unique_ptr<nft_ctx, decltype(&nft_ctx_free)> context{nft_ctx_new(NFT_CTX_DEFAULT),
                                                                  &nft_ctx_free};
  if (!context) return {false, "libnftables does not start"};
  nft_ctx_buffer_error(context.get());
  nft_ctx_buffer_output(context.get());
  Outcome out;
  out.ok = nft_run_cmd_from_buffer(context.get(), commands.c_str()) == 0;
  if (const auto* error = nft_ctx_get_error_buffer(context.get()); error != nullptr) {
    out.error = error;
    out.error.resize(std::min(out.error.find('\n'), out.error.size()));
  }
  return out;
}

}  // namespace

std::string Firewall::ruleset(bool v6) const {
  const std::string family = v6 ? "ip6" : "ip";
  const std::string range = v6 ? "fd00:2021:1111::/107" : "100.64.0.0/11";  // spec policy 1.1
  const std::string table = family + " firegate";
  // Adding before deleting makes the deletion succeed whether or not a table was left behind.
  return "add table " + table + "\ndelete table " + table + "\nadd table " + table +
         "\nadd chain " + table +
         " postrouting { type nat hook postrouting priority 100; }\nadd rule " + table +
         " postrouting " + family + " saddr " + range + " oifname != \"" + tun_name_ +
         "\" counter masquerade\n";
}

Result<void, std::string> Firewall::install() {
  if (const auto v4 = run(ruleset(false)); !v4.ok) {
    return fail("nft: the table 'ip firegate' cannot be installed (" + v4.error +
                "): load the kernel module nf_tables and run with CAP_NET_ADMIN, or set "
                "FIREGATE_MASQUERADE=off and translate "
                "sources yourself");
  }
  // A host without IPv6 has no such table, and no such traffic.
  (void)run(ruleset(true));
  return {};
}

bool Firewall::is_installed() const { return run("list table ip firegate\n").ok; }

void Firewall::remove() {
  (void)run("delete table ip firegate\n");
  (void)run("delete table ip6 firegate\n");
}

}  // namespace fg::gateway
