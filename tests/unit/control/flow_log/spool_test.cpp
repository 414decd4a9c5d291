#include "control/flow_log/spool.h"

#include <gtest/gtest.h>

#include "tests/unit/control/flow_log/samples.h"

namespace fg::flow_log {
namespace {

TEST(FlowSpool, BeginningAndEndShareTheirStem) {
  const auto start = report_of(test::record());
  const auto end = report_of(test::completed(test::record()));
  ASSERT_TRUE(start && end);
  EXPECT_EQ(start->directory, "responder/d41c7e90-2f5b-4a86-93d8-0b7e6c5a4f12");
  EXPECT_EQ(start->name.substr(0, 11), "1790000000-");
  EXPECT_EQ(start->name.substr(27), ".start.json");
  EXPECT_EQ(end->name.substr(27), ".end.json");
  EXPECT_EQ(start->name.substr(0, 27), end->name.substr(0, 27));
  auto other = test::record();
  other.key.client_port = 1;
  EXPECT_NE(report_of(other)->name, start->name);
}

TEST(FlowSpool, NothingIsWrittenWithoutAWish) {
  auto claims = test::claims();
  claims["uploads_enabled"] = false;
  auto record = test::record();
  record.whose = test::ingest(claims);
  EXPECT_FALSE(report_of(record));
  record.whose = std::make_shared<Attribution>(Known{});
  EXPECT_FALSE(report_of(record));
}

TEST(FlowSpool, NoNameLeadsOutOfTheSpool) {
  IngestClaims claims;
  claims.role = "responder";
  for (const auto* id :
       {"../../../../../../../../etc/passwd-x", "d41c7e90-2f5b-4a86-93d8-0b7e6c5a4f1",
        "d41c7e90-2f5b-4a86-93d8-0b7e6c5a4f12/", "d41c7e9002f5b-4a86-93d8-0b7e6c5a4f12",
        "d41c7e90-2f5b-4a86-93d8-0b7e6c5a4f1g", ""}) {
    claims.policy_authorization_id = id;
    EXPECT_FALSE(directory_of(claims)) << id;
  }
  claims.policy_authorization_id = "D41C7E90-2f5b-4a86-93d8-0b7e6c5a4f12";
  EXPECT_TRUE(directory_of(claims));
  claims.role = "..";
  EXPECT_FALSE(directory_of(claims));
}

TEST(FlowSpool, AReportComesBackOnlyWhole) {
  const auto payload = ingest_payload(test::completed(test::record()));
  const auto content = enclose(payload);
  EXPECT_EQ(disclose(content), payload);
  EXPECT_TRUE(content.starts_with("{\"checksum\":"));
  for (std::size_t i = 0; i < content.size(); i += 7) {
    EXPECT_FALSE(disclose(content.substr(0, i))) << i;
    auto changed = content;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    EXPECT_FALSE(disclose(changed)) << i;
  }
  for (const auto* wrong : {"", "[]", "{}", R"({"checksum":1,"payload":{}})", R"({"checksum":1})",
                            R"({"payload":{}})", R"({"checksum":"1","payload":{}})"}) {
    EXPECT_FALSE(disclose(wrong)) << wrong;
  }
}

// CRC-32 of "{}" is 0xA3A6BF43.
TEST(FlowSpool, TheChecksumIsOverTheCompactPayloadWithSortedKeys) {
  EXPECT_EQ(enclose("{}"), R"({"checksum":2745614147,"payload":{}})");
  const auto sorted = enclose(R"({"a":1,"b":2})");
  const auto colon = sorted.find(',');
  const auto unsorted = sorted.substr(0, colon) + R"(, "payload": {"b":2, "a":1} })";
  EXPECT_EQ(disclose(unsorted), R"({"a":1,"b":2})");
}

TEST(FlowSpool, TheEndReplacesTheBeginning) {
  const auto picked =
      pick({"0000000003-c.start.json", "0000000001-a.start.json", "token", "0000000002-b.end.json",
            "0000000001-a.end.json", ".new-0000000001-d.end.json"},
           10);
  ASSERT_EQ(picked.picks.size(), 3U);
  EXPECT_EQ(picked.picks[0].name, "0000000001-a.end.json");
  EXPECT_EQ(picked.picks[0].superseded, "0000000001-a.start.json");
  EXPECT_EQ(picked.picks[1].name, "0000000002-b.end.json");
  EXPECT_EQ(picked.picks[1].superseded, "");
  EXPECT_EQ(picked.picks[2].name, "0000000003-c.start.json");
  EXPECT_FALSE(picked.has_more);
}

TEST(FlowSpool, ABatchTakesTheOldestAndSaysThatThereIsMore) {
  const auto picked = pick({"3.end.json", "1.end.json", "2.end.json"}, 2);
  ASSERT_EQ(picked.picks.size(), 2U);
  EXPECT_EQ(picked.picks[0].name, "1.end.json");
  EXPECT_TRUE(picked.has_more);
}

TEST(FlowSpool, ForgetsAuthorizationsWhoseTokenExpiredOrNeverCame) {
  const auto token = test::token_of(test::claims());
  const WallTime expiry{std::chrono::seconds{1'792'600'000}};
  EXPECT_FALSE(is_stale(token, 100h, expiry - 1s));
  EXPECT_TRUE(is_stale(token, 0s, expiry));
  EXPECT_FALSE(is_stale("no token", 100h, expiry));
  EXPECT_FALSE(is_stale(std::nullopt, 60s, expiry));
  EXPECT_TRUE(is_stale(std::nullopt, 61s, expiry));
}

TEST(FlowSpool, BatchSizesStayInTheirRange) {
  EXPECT_EQ(settings_of({"https://x", 60, 0})->batch_size, 1'000U);
  EXPECT_EQ(settings_of({"https://x", 60, 7})->batch_size, 7U);
  EXPECT_EQ(settings_of({"https://x", 60, 10'001})->batch_size, 10'000U);
  EXPECT_FALSE(settings_of({"https://x", 0, 7}));
}

TEST(FlowSpool, SettingsComeBackFromTheirFile) {
  const UploadSettings settings{"https://flows.example/", 60, 100};
  EXPECT_EQ(to_json(settings),
            R"({"api_url":"https://flows.example/","batch_size":100,"interval":60})");
  EXPECT_EQ(parse_settings(to_json(settings)), settings);
  for (const auto* wrong : {"", "{}", R"({"api_url":1,"batch_size":1,"interval":1})",
                            R"({"api_url":"x","batch_size":-1,"interval":1})"}) {
    EXPECT_FALSE(parse_settings(wrong)) << wrong;
  }
}

}  // namespace
}  // namespace fg::flow_log
