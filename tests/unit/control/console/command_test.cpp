#include "control/console/command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace fg::console {
namespace {

using Words = std::vector<std::string>;
using Kind = filter::ProtoKind;
using ::testing::HasSubstr;

Command parsed(const Words& words) {
  auto out = parse_command(words);
  EXPECT_TRUE(out) << (out ? "" : out.error());
  EXPECT_TRUE(!out || *out);
  return out && *out ? **out : Command{};
}

TEST(Command, OnlyTheFirstArgumentDecidesWhetherAGatewayIsAskedOrStarted) {
  EXPECT_TRUE(is_command({"status"}));
  EXPECT_TRUE(is_command({"peers", "7d0f"}));
  EXPECT_TRUE(is_command({"explain"}));
  EXPECT_FALSE(is_command({}));
  EXPECT_FALSE(is_command({"--no-check", "status"}));
  EXPECT_FALSE(is_command({"SFMyNTY.token"}));
}

TEST(Command, WordsBecomeRequests) {
  EXPECT_EQ(parsed({"status"}).request, Request{AskStatus{}});
  EXPECT_EQ(parsed({"peers"}).request, Request{AskPeers{}});
  EXPECT_EQ(parsed({"peers", "7d0f"}).request, Request{AskPeer{"7d0f"}});
  const auto explain = [](Kind kind, std::uint16_t port) {
    return Request{AskExplain{"7d0f", "10.0.0.1", kind, port, std::nullopt}};
  };
  EXPECT_EQ(parsed({"explain", "7d0f", "10.0.0.1"}).request, explain(Kind::echo, 0));
  EXPECT_EQ(parsed({"explain", "7d0f", "10.0.0.1", "icmp"}).request, explain(Kind::echo, 0));
  EXPECT_EQ(parsed({"explain", "7d0f", "10.0.0.1", "443"}).request, explain(Kind::tcp, 443));
  EXPECT_EQ(parsed({"explain", "7d0f", "10.0.0.1", "443/tcp"}).request, explain(Kind::tcp, 443));
  EXPECT_EQ(parsed({"explain", "7d0f", "10.0.0.1", "53/udp"}).request, explain(Kind::udp, 53));
}

TEST(Command, FlagsMayStandAnywhereBehindTheWord) {
  const auto command = parsed(
      {"explain", "--json", "7d0f", "--source", "100.64.0.9", "10.0.0.1", "--control-socket=/x"});
  EXPECT_TRUE(command.is_json);
  EXPECT_EQ(command.socket, "/x");
  EXPECT_EQ(std::get<AskExplain>(command.request).source, IpAddress::v4(100, 64, 0, 9));
}

TEST(Command, HelpIsAskedForInTwoWays) {
  for (const auto* flag : {"--help", "-h"}) {
    const auto out = parse_command({"peers", flag});
    ASSERT_TRUE(out);
    EXPECT_FALSE(*out);
  }
  EXPECT_THAT(help(), HasSubstr("firegate explain CLIENT DESTINATION"));
}

TEST(Command, WrongUsageIsNamed) {
  for (const auto& [words, says] : std::initializer_list<std::pair<Words, const char*>>{
           {{"status", "now"}, "takes no 'now'"},
           {{"peers", "a", "b"}, "one CLIENT"},
           {{"explain", "a"}, "CLIENT DESTINATION"},
           {{"explain", "a", "b", "1", "2"}, "CLIENT DESTINATION"},
           {{"explain", "a", "b", "http"}, "'http' is neither"},
           {{"explain", "a", "b", "65536"}, "'65536' is neither"},
           {{"explain", "a", "b", "80/sctp"}, "'80/sctp' is neither"},
           {{"explain", "a", "b", "/tcp"}, "'/tcp' is neither"},
           {{"explain", "a", "b", "--source", "x"}, "--source 'x'"},
           {{"status", "--source", "1.2.3.4"}, "'explain' only"},
           {{"status", "--verbose"}, "knows no '--verbose'"},
           {{"status", "--control-socket"}, "needs a value"},
           {{"peers", ""}, "empty"},
           {{"peers", std::string(kWordMax + 1, 'a')}, "longer"}}) {
    const auto out = parse_command(words);
    ASSERT_FALSE(out) << says;
    EXPECT_THAT(out.error(), HasSubstr(says));
    EXPECT_THAT(out.error(), HasSubstr("--help"));
  }
}

}  // namespace
}  // namespace fg::console
