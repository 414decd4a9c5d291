// A pipeline whose clients use names: proxy addresses and where they lead.
#pragma once

#include <memory>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/unit/pipeline/world.h"

namespace fg::pipeline::testing {

inline constexpr auto kProxy = "100.96.0.1";
inline constexpr auto kReal = "192.0.2.1";
inline constexpr auto kProxy6 = "fd00:2021:1111:8000::1";
inline constexpr auto kReal6 = "2001:db8::1";

class TranslationTest : public World {
 protected:
  // Proxy and real address each; an empty one: the name has none.
  using Names = std::vector<std::pair<std::string_view, std::string_view>>;

  void translate(std::uint32_t n, const Names& names, bool forget_flows = false,
                 bool watch_silence = false) {
    std::vector<nat::Translation> entries;
    for (const auto& [proxy, real] : names) {
      entries.push_back({ip(proxy), real.empty() ? std::nullopt : std::optional{ip(real)},
                         nat::NameId{static_cast<std::uint32_t>(entries.size())}});
    }
    translations_.push_back(nat::Translations::compile(std::move(entries), watch_silence));
    apply(SetTranslations{ClientSlot{n}, translations_.back().get(), forget_flows});
  }
  RemoteClient establish_with(std::uint32_t n, const Names& names,
                              const filter::Policy* policy = nullptr) {
    auto client = establish(n, policy);
    translate(n, names);
    out_.sent.clear();
    return client;
  }
  // What reached the TUN device since the last look; exactly one packet, with right checksums.
  packet::InnerPacket sent_to_tun() {
    EXPECT_EQ(out_.tun.size(), 1U);
    last_ = out_.tun.empty() ? ByteVector(1) : out_.tun.back();
    out_.tun.clear();
    const auto parsed = packet::InnerPacket::parse(last_, nat::kCrossedMax).value();
    EXPECT_TRUE(parsed.has_valid_checksums());
    return parsed;
  }
  packet::InnerPacket sent_to_client(RemoteClient& client) {
    EXPECT_EQ(out_.sent.size(), 1U);
    last_ = client.open(out_.sent.back(), now_).value();
    out_.sent.clear();
    const auto parsed = packet::InnerPacket::parse(last_, nat::kCrossedMax).value();
    EXPECT_TRUE(parsed.has_valid_checksums());
    return parsed;
  }
  bool nothing_left() const { return out_.tun.empty() && out_.sent.empty(); }

  std::vector<std::unique_ptr<const nat::Translations>> translations_;
  ByteVector last_;
};

}  // namespace fg::pipeline::testing
