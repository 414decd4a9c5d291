#include "gateway/nft.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <nftables/libnftables.h>

#include <algorithm>
#include <array>

namespace fg::gateway {
namespace {

std::string name_of(std::uint8_t family) {
  switch (family) {
    case NFPROTO_INET:
      return "inet";
    case NFPROTO_IPV4:
      return "ip";
    case NFPROTO_IPV6:
      return "ip6";
    case NFPROTO_ARP:
      return "arp";
    case NFPROTO_NETDEV:
      return "netdev";
    case NFPROTO_BRIDGE:
      return "bridge";
    default:
      return "family " + std::to_string(family);
  }
}

int take_table(nl_msg* message, void* out) {
  std::array<nlattr*, NFTA_TABLE_MAX + 1> attributes{};
  auto* header = nlmsg_hdr(message);
  if (nlmsg_parse(header, sizeof(nfgenmsg), attributes.data(), NFTA_TABLE_MAX, nullptr) < 0 ||
      attributes[NFTA_TABLE_NAME] == nullptr)
    return NL_SKIP;
  const auto* family = static_cast<const nfgenmsg*>(nlmsg_data(header));
  const auto* flags = attributes[NFTA_TABLE_FLAGS];
  static_cast<std::vector<NftTable>*>(out)->push_back(
      {.family = name_of(family->nfgen_family),
       .name = nla_get_string(attributes[NFTA_TABLE_NAME]),
       .flags = flags == nullptr ? 0 : ntohl(nla_get_u32(flags))});
  return NL_OK;
}

}  // namespace

void Nft::Free::operator()(nft_ctx* context) const { nft_ctx_free(context); }

Nft::Nft() : context_(nft_ctx_new(NFT_CTX_DEFAULT)) {
  if (!context_) return;
  nft_ctx_buffer_error(context_.get());
  nft_ctx_buffer_output(context_.get());
}

Nft::Outcome Nft::run(const std::string& commands) { return run(commands, 0); }

Nft::Outcome Nft::run(const std::string& commands, unsigned output_flags) {
  if (!context_) return {false, "", "libnftables does not start"};
  nft_ctx_output_set_flags(context_.get(), output_flags);
  Outcome out;
  out.ok = nft_run_cmd_from_buffer(context_.get(), commands.c_str()) == 0;
  if (const auto* output = nft_ctx_get_output_buffer(context_.get()); output != nullptr)
    out.output = output;
  if (const auto* error = nft_ctx_get_error_buffer(context_.get()); error != nullptr) {
    out.error = error;
    out.error.resize(std::min(out.error.find('\n'), out.error.size()));
  }
  return out;
}

std::string Nft::listing(const std::string& table) {
  const auto listed = run("list table " + table + "\n", NFT_CTX_OUTPUT_STATELESS);
  return listed.ok ? listed.output : "";
}

std::string Nft::json_of(const NftTable& table) {
  const auto listed = run("list table " + table.family + " " + table.name + "\n",
                          NFT_CTX_OUTPUT_JSON | NFT_CTX_OUTPUT_TERSE);
  return listed.ok ? listed.output : "";
}

std::optional<std::vector<NftTable>> list_tables() {
  const std::unique_ptr<nl_sock, decltype(&nl_socket_free)> socket{nl_socket_alloc(),
                                                                   &nl_socket_free};
  if (!socket || nl_connect(socket.get(), NETLINK_NETFILTER) < 0) return std::nullopt;
  std::vector<NftTable> out;
  nl_socket_modify_cb(socket.get(), NL_CB_VALID, NL_CB_CUSTOM, &take_table, &out);
  nfgenmsg every{.nfgen_family = NFPROTO_UNSPEC, .version = NFNETLINK_V0, .res_id = 0};
  if (nl_send_simple(socket.get(), NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETTABLE, NLM_F_DUMP, &every,
                     sizeof every) < 0 ||
      nl_recvmsgs_default(socket.get()) < 0)
    return std::nullopt;
  return out;
}

}  // namespace fg::gateway
