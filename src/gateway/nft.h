// nftables through its library: commands as nft(8) takes them.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

struct nft_ctx;

namespace fg::gateway {

struct NftTable {
  std::string family;  // "inet"
  std::string name;
  std::uint32_t flags = 0;  // NFT_TABLE_F_

  // libnftables 1.0.6 crashes as it writes a table with one flag as JSON.
  [[nodiscard]] bool is_readable() const { return flags == 0 || (flags & (flags - 1)) != 0; }
};
// All of the namespace, asked of the kernel itself; none: it does not answer.
[[nodiscard]] std::optional<std::vector<NftTable>> list_tables();

class Nft {
 public:
  struct Outcome {
    bool ok = false;
    std::string output;
    std::string error;  // first line
  };

  // Owns a netlink socket: what it made with "flags owner" goes with it.
  Nft();

  Outcome run(const std::string& commands);
  // One table ("inet name") as the kernel has it, without its counters; empty: there is none.
  [[nodiscard]] std::string listing(const std::string& table);
  // The same as JSON, with counters and without the elements of sets.
  [[nodiscard]] std::string json_of(const NftTable& table);

 private:
  struct Free {
    void operator()(nft_ctx* context) const;
  };
  Outcome run(const std::string& commands, unsigned output_flags);

  std::unique_ptr<nft_ctx, Free> context_;
};

}  // namespace fg::gateway
