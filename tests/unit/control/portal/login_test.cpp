#include "control/portal/login.h"

#include <gtest/gtest.h>

#include "base/encoding.h"

namespace fg::portal {
namespace {

constexpr WallTime kNow{std::chrono::seconds{1'790'000'000}};

LoginOptions options(std::string_view url = "wss://portal.test:8443") {
  LoginOptions options;
  options.url = *ApiUrl::parse(url);
  options.token = SecretText{".gateway"};
  options.id = "edge-gw-1";
  options.name = "edge one";
  const auto key = decode_base64("M6jq1REt2rfnR5vUYLlRrjNItdB/ttSeqXqOBSqkEb0=");
  std::copy(key->begin(), key->end(), options.public_key.begin());
  options.system = {"Alpine Linux", "3.20.3", "x86_64", "6.8.0-41-generic"};
  return options;
}

UpgradeRefusal refusal(int status, std::string body = "", std::string type = "text/plain") {
  return {status, std::move(type), std::nullopt, std::move(body)};
}

TEST(ExternalId, IsHashedAlwaysForAAndForUuidsOtherwise) {
  const std::string uuid = "3f0a4c6e-6d0c-4b6b-9a3e-0b8f7c1d2e34";
  const std::string hashed = "836f37354d321067d8a82acdaa72128a29853f72132b8de0bb4cb43fb8a91395";
  for (const auto generation : {Generation::a, Generation::b, Generation::c})
    EXPECT_EQ(external_id(uuid, generation), hashed);
  EXPECT_EQ(external_id("edge-gw-1", Generation::a),
            "5acd98e8d3324d807b6f79f2cc5229bf9bac3321633695bb1a11309a42ec22c5");
  EXPECT_EQ(external_id("edge-gw-1", Generation::b), "edge-gw-1");
  EXPECT_EQ(external_id("edge-gw-1", Generation::c), "edge-gw-1");
}

TEST(ExternalId, TheFileOfASeedGatewayIsHashedWithTheNewlineItMayEndIn) {
  const std::string uuid = "3f0a4c6e-6d0c-4b6b-9a3e-0b8f7c1d2e34\n";
  const auto seed = external_id(uuid, Generation::a);
  EXPECT_EQ(seed.size(), 64U);
  EXPECT_NE(seed, external_id("3f0a4c6e-6d0c-4b6b-9a3e-0b8f7c1d2e34", Generation::a));
  EXPECT_EQ(external_id(uuid, Generation::b), seed);
  EXPECT_EQ(external_id(uuid, Generation::c), seed);
}

TEST(ExternalId, TheTextIsHashedAsGiven) {
  const auto start = [](std::string_view id) {
    return external_id(id, Generation::c).substr(0, 16);
  };
  EXPECT_EQ(start("3F0A4C6E-6D0C-4B6B-9A3E-0B8F7C1D2E34"), "9dfd5fd3129ceff0");
  EXPECT_EQ(start("3f0a4c6e6d0c4b6b9a3e0b8f7c1d2e34"), "1f75f373a5a56a77");
  EXPECT_EQ(start("{3f0a4c6e-6d0c-4b6b-9a3e-0b8f7c1d2e34}"), "3b503fef1a5737a5");
}

TEST(UserAgent, NamesBothComponentsAndOnlyAscii) {
  const SystemFacts alpine{"Alpine Linux", "3.20.3", "x86_64", "6.8.0-41-generic"};
  EXPECT_EQ(user_agent(alpine, "1.6.1"),
            "Alpine Linux/3.20.3 connlib/1.6.1 gateway/1.6.1 (x86_64; 6.8.0-41-generic)");
  EXPECT_EQ(user_agent({"D\xc3\xa9"
                        "bian",
                        "12", "", "6.1-\xc3\xbc\r\nx"},
                       "1.3.0"),
            "Dbian/12 connlib/1.3.0 gateway/1.3.0 (6.1-x)");
  EXPECT_EQ(user_agent({"X", "1", "arm64", ""}, "1.3.0"),
            "X/1 connlib/1.3.0 gateway/1.3.0 (arm64)");
  EXPECT_EQ(user_agent({"X", "1", "", ""}, "1.3.0"), "X/1 connlib/1.3.0 gateway/1.3.0");
}

TEST(Login, CAsksOnTheV2PathWithTheTokenInAHeader) {
  const Login login{options()};
  const auto request = login.request();
  EXPECT_TRUE(request.is_tls);
  EXPECT_EQ(request.host, "portal.test");
  EXPECT_EQ(request.port, 8443);
  EXPECT_EQ(request.host_header, "portal.test");
  EXPECT_EQ(request.target.expose(),
            "/gateway/v2/"
            "websocket?external_id=edge-gw-1&name=edge+one&public_key=M6jq1REt2rfnR5vUYLlRrjNItdB%"
            "2FttSeqXqOBSqkEb0%3D");
  EXPECT_EQ(request.authorization->expose(), "Bearer .gateway");
  EXPECT_EQ(request.user_agent,
            "Alpine Linux/3.20.3 connlib/1.6.1 gateway/1.6.1 (x86_64; 6.8.0-41-generic)");
  EXPECT_TRUE(login.announces_capabilities());
}

TEST(Login, BAsksOnTheV1Path) {
  auto wanted = options();
  wanted.generation = Generation::b;
  const Login login{std::move(wanted)};
  EXPECT_EQ(login.request().target.expose(),
            "/gateway/"
            "websocket?external_id=edge-gw-1&name=edge+one&public_key=M6jq1REt2rfnR5vUYLlRrjNItdB%"
            "2FttSeqXqOBSqkEb0%3D");
  EXPECT_FALSE(login.announces_capabilities());
}

TEST(Login, AAsksWithTheTokenInTheQuery) {
  auto wanted = options("ws://[2001:db8::1]:8081/base/");
  wanted.generation = Generation::a;
  wanted.name = "n";
  const auto request = Login{std::move(wanted)}.request();
  EXPECT_EQ(request.target.expose(),
            "/base/gateway/"
            "websocket?token=.gateway&public_key=M6jq1REt2rfnR5vUYLlRrjNItdB%2FttSeqXqOBSqkEb0%3D"
            "&external_id=5acd98e8d3324d807b6f79f2cc5229bf9bac3321633695bb1a11309a42ec22c5&name=n");
  EXPECT_FALSE(request.authorization);
  EXPECT_EQ(request.host_header, "[2001:db8::1]:8081");
  EXPECT_NE(request.user_agent.find("connlib/1.3.0 "), std::string::npos);
}

TEST(Login, AllWhiteSpaceLeavesTheToken) {
  auto wanted = options();
  wanted.token = SecretText{" n.sig ned\r\n\t"};
  EXPECT_EQ(Login{std::move(wanted)}.request().authorization->expose(), "Bearer n.signed");
}

TEST(Login, TheReportedVersionCanBeChosen) {
  auto wanted = options();
  wanted.reported_version = "1.4.7";
  EXPECT_NE(Login{std::move(wanted)}.request().user_agent.find("connlib/1.4.7 gateway/1.4.7"),
            std::string::npos);
}

TEST(Login, APortalWithoutV2IsAskedOnV1AtOnce) {
  Login login{options()};
  EXPECT_EQ(login.on_refused(refusal(404), kNow).kind, Verdict::Kind::retry_other);
  EXPECT_EQ(login.generation(), Generation::b);
}

TEST(Login, APortalThatMissesTheTokenIsOfGenerationA) {
  for (const auto& answer : {refusal(401, "Missing token\n"), refusal(422)}) {
    Login login{options()};
    (void)login.on_refused(refusal(404), kNow);
    EXPECT_EQ(login.on_refused(answer, kNow).kind, Verdict::Kind::retry_other);
    EXPECT_EQ(login.generation(), Generation::a);
    EXPECT_EQ(login.on_refused(refusal(401, "Invalid token"), kNow).kind, Verdict::Kind::fatal);
  }
}

TEST(Login, AWayThatStopsWorkingIsLearntAnewWithABackOff) {
  Login login{options()};
  (void)login.on_refused(refusal(404), kNow);
  (void)login.on_refused(refusal(401, "Missing token"), kNow);
  ASSERT_EQ(login.generation(), Generation::a);
  EXPECT_EQ(login.on_refused(refusal(503), kNow).kind, Verdict::Kind::retry);
  EXPECT_EQ(login.generation(), Generation::a);
  EXPECT_EQ(login.on_refused(refusal(422), kNow).kind, Verdict::Kind::retry);
  EXPECT_EQ(login.generation(), Generation::c);
}

TEST(Login, AForcedGenerationIsNeverLeft) {
  auto wanted = options();
  wanted.generation = Generation::c;
  Login login{std::move(wanted)};
  EXPECT_EQ(login.on_refused(refusal(404), kNow).kind, Verdict::Kind::retry);
  EXPECT_EQ(login.generation(), Generation::c);
}

TEST(Login, OnlyA401IsFatal) {
  for (const int status : {100, 200, 204, 301, 302, 307, 400, 402, 403, 405,
                           408, 409, 418, 422, 429, 451, 500, 502, 503, 504}) {
    Login login{options()};
    EXPECT_EQ(login.on_refused(refusal(status), kNow).kind, Verdict::Kind::retry) << status;
  }
  Login login{options()};
  EXPECT_EQ(login.on_refused(refusal(401), kNow).kind, Verdict::Kind::fatal);
}

TEST(Login, TheTextOfA401DependsOnProblemDetails) {
  const auto text = [](std::string body, std::string type) {
    return Login{options()}.on_refused(refusal(401, std::move(body), std::move(type)), kNow).reason;
  };
  const std::string invalid =
      R"({"type":"about:blank","title":"Unauthorized","status":401,"detail":"Invalid token","code":"invalid_token"})";
  EXPECT_EQ(text(invalid, "application/problem+json"), "Authentication token invalid");
  EXPECT_EQ(text(R"({"code":"missing_token"})", "Application/Problem+JSON ; charset=utf-8"),
            "Authentication token invalid");
  EXPECT_EQ(
      text(R"({"code":"device_untrusted","detail":"No certificate"})", "application/problem+json"),
      "Failed to authenticate with portal: No certificate");
  EXPECT_EQ(text(R"({"code":"other"})", "application/problem+json"),
            "Failed to authenticate with portal: no reason provided");
  EXPECT_EQ(text(invalid, "application/json"),
            "Failed to authenticate with portal: no reason provided");
  EXPECT_EQ(text("<html>401</html>", "text/html"),
            "Failed to authenticate with portal: no reason provided");
  EXPECT_EQ(text("<html>401</html>", "application/problem+json"),
            "Failed to authenticate with portal: no reason provided");
}

TEST(Login, TheDetailOfARefusalIsBoundedAndPrintable) {
  const auto verdict = Login{options()}.on_refused(
      refusal(401, R"({"code":"x","detail":")" + std::string(1000, 'y') + R"(\n"})",
              "application/problem+json"),
      kNow);
  EXPECT_EQ(verdict.reason, "Failed to authenticate with portal: " + std::string(300, 'y'));
}

TEST(Login, RetryAfterIsTakenFromRefusalsThatAreRetried) {
  Login login{options()};
  auto busy = refusal(503);
  busy.retry_after = "7";
  EXPECT_EQ(login.on_refused(busy, kNow).retry_after, Duration{7s});
  busy.retry_after = "-1";
  EXPECT_EQ(login.on_refused(busy, kNow).retry_after, std::nullopt);
}

}  // namespace
}  // namespace fg::portal
