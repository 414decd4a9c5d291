#include "control/path/finder.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace fg::path {
namespace {

constexpr Instant kStart{1000h};
const auto kHost = *SocketAddress::parse("192.0.2.1:52625");
const auto kRelayed = *SocketAddress::parse("203.0.113.9:50000");
const auto kPeer = *SocketAddress::parse("198.51.100.20:52625");

class FinderTest : public testing::Test {
 protected:
  SeededRandom random{1};
  Finder with{ice::Agent{{.role = ice::Role::controlled,
                          .local = {"qhpm", SecretText{"kvpwadif6734sdalah6lja"}},
                          .remote = ice::Credentials{"mp5g", SecretText{"3bge3cho6ue5a4xiy6p34m"}},
                          .profile = ice::kServerDefault,
                          .form = ice::LineForm::standard},
                         random,
                         kStart}};
  Finder without{Agent{Role::controlled, kStart}};
};

TEST_F(FinderTest, WritesTheLinesOfItsKind) {
  const LocalAddress relayed{CandidateKind::relay, kRelayed, kHost};
  EXPECT_EQ(without.line_of(*without.add_local(relayed, kStart)),
            "candidate:1505173731554397364 1 udp 16777215 203.0.113.9 50000 typ relay raddr "
            "192.0.2.1 rport 52625");
  EXPECT_TRUE(
      with.line_of(*with.add_local(relayed, kStart))
          .ends_with(
              " 1 udp 37748479 203.0.113.9 50000 typ relay raddr 0.0.0.0 rport 0 ufrag qhpm"));
}

TEST_F(FinderTest, TakesAndForgetsCandidatesEitherWay) {
  for (auto* finder : {&with, &without}) {
    ASSERT_TRUE(finder->add_local({CandidateKind::host, kHost, kHost}, kStart));
    ASSERT_TRUE(finder->add_local({CandidateKind::srflx, kPeer, kHost}, kStart));
    ASSERT_TRUE(finder->add_local({CandidateKind::relay, kRelayed, kHost}, kStart));
    EXPECT_EQ(finder->local_candidates().size(), 3U);
    EXPECT_TRUE(finder->remove_local(kRelayed, kStart));
    EXPECT_FALSE(finder->remove_local(kRelayed, kStart));
    EXPECT_FALSE(finder->add_remote("nonsense", kStart).is_parsable);
    constexpr std::string_view kLine = "candidate:1 1 udp 1 198.51.100.20 52625 typ host";
    EXPECT_TRUE(finder->add_remote(kLine, kStart).accepted);
    EXPECT_EQ(finder->remote_candidates().size(), 1U);
    finder->invalidate_remote(kLine, kStart);
    EXPECT_TRUE(finder->remote_candidates().empty());
  }
}

TEST_F(FinderTest, SaysWhichEndOfThePrimaryIsARelay) {
  EXPECT_FALSE(without.is_connected());
  (void)without.add_local({CandidateKind::relay, kRelayed, kHost}, kStart);
  (void)without.add_remote("candidate:1 1 udp 1 198.51.100.20 52625 typ host", kStart);
  without.iceless()->on_initiation({kRelayed, kPeer}, kStart);
  EXPECT_EQ(without.route(), (ice::Path{kRelayed, kPeer, true, false}));
}

}  // namespace
}  // namespace fg::path
