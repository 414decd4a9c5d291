#include "gateway/firewall.h"

#include <nftables/libnftables.h>

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

Firewall::Firewall(std::string tun_name)
    : tun_name_(std::move(tun_name)),
      table_(tun_name_ == kUsualName ? "firegate" : "firegate-" + tun_name_) {}

std::string Firewall::ruleset(bool v6) const {
  const std::string family = v6 ? "ip6" : "ip";
  const std::string range = v6 ? "fd00:2021:1111::/107" : "100.64.0.0/11";  // spec policy 1.1
  const std::string table = family + " " + table_;
  // Adding before deleting makes the deletion succeed whether or not a table was left behind.
  return "add table " + table + "\ndelete table " + table + "\nadd table " + table +
         "\nadd chain " + table +
         " postrouting { type nat hook postrouting priority 100; }\nadd rule " + table +
         " postrouting " + family + " saddr " + range + " oifname != \"" + tun_name_ +
         "\" counter masquerade\n";
}

Result<void, std::string> Firewall::install() {
  if (const auto v4 = run(ruleset(false)); !v4.ok) {
    return fail("nft: the table 'ip " + table_ + "' cannot be installed (" + v4.error +
                "): load the kernel module nf_tables and run with CAP_NET_ADMIN, or set "
                "FIREGATE_MASQUERADE=off and translate "
                "sources yourself");
  }
  // A host without IPv6 has no such table, and no such traffic.
  has_v6_ = run(ruleset(true)).ok;
  return {};
}

bool Firewall::is_installed() const {
  const auto has = [this](const char* family) {
    const auto listed = run(std::string{"list table "} + family + " " + table_ + "\n");
    return listed.ok && listed.output.find("masquerade") != std::string::npos;
  };
  return has("ip") && (!has_v6_ || has("ip6"));
}

void Firewall::remove() {
  (void)run("delete table ip " + table_ + "\n");
  if (has_v6_) (void)run("delete table ip6 " + table_ + "\n");
}

std::vector<std::string> Firewall::obstacles() const {
  return forward_obstacles(run("list ruleset\n", NFT_CTX_OUTPUT_JSON | NFT_CTX_OUTPUT_TERSE).output,
                           tun_name_);
}

}  // namespace fg::gateway
