#include "tests/support/client/login.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/encoding.h"
#include "tests/unit/support_client/recorded.h"

namespace fg::client::test {
namespace {

LoginOptions options_of(Generation generation) {
  LoginOptions out;
  out.url = *portal::ApiUrl::parse("ws://198.51.100.40:8081");
  out.token = SecretText{"n.client"};
  out.id = "hx-client";
  out.name = "hx client";
  out.generation = generation;
  out.system = {"Debian", "12.0.0", "x86_64", "6.18.44-fc-v669"};
  return out;
}

PublicKey key_in(const std::string& path) {
  auto text = path.substr(path.find("public_key=") + 11);
  text = text.substr(0, text.find('&'));
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      plain += text[i];
      continue;
    }
    plain += static_cast<char>(decode_hex(text.substr(i + 1, 2))->front());
    i += 2;
  }
  PublicKey key{};
  const auto bytes = decode_base64(plain);
  std::copy(bytes->begin(), bytes->end(), key.begin());
  return key;
}

TEST(ClientLogin, AsksExactlyAsTheRecordedClientsDid) {
  for (const auto generation : kGenerations) {
    const auto upgrades = recorded(generation, [](const nlohmann::json& line) {
      return line["what"] == "upgrade" && line["path"].get<std::string>().starts_with("/client/");
    });
    ASSERT_EQ(upgrades.size(), 1U);
    const std::string path = upgrades[0]["path"];
    const auto& headers = upgrades[0]["headers"];
    const auto request = upgrade_request(options_of(generation), key_in(path));
    EXPECT_EQ(request.target.expose(), path);
    EXPECT_EQ(request.user_agent, headers["user-agent"]);
    EXPECT_EQ(request.host_header, headers["Host"]);
    EXPECT_EQ(request.authorization.has_value(), headers.contains("x-authorization"));
    if (request.authorization) {
      EXPECT_EQ(request.authorization->expose(), headers["x-authorization"]);
    }
  }
}

TEST(ClientLogin, TellsTheVersionItIsGiven) {
  auto options = options_of(Generation::c);
  options.version = "1.4.0";
  EXPECT_THAT(upgrade_request(options, {}).user_agent,
              testing::HasSubstr(" headless-client/1.4.0 "));
}

// Spec portal 1.5.
TEST(ClientLogin, EndsOnlyAtStatusesThatAreFatalInItsGeneration) {
  for (const auto generation : kGenerations) EXPECT_TRUE(is_fatal(generation, 401));
  EXPECT_TRUE(is_fatal(Generation::a, 403));
  EXPECT_FALSE(is_fatal(Generation::a, 503));
  EXPECT_FALSE(is_fatal(Generation::b, 403));
  EXPECT_FALSE(is_fatal(Generation::c, 429));
}

}  // namespace
}  // namespace fg::client::test
