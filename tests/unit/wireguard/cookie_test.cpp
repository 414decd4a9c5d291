#include "wireguard/cookie.h"

#include <gtest/gtest.h>

#include "tests/unit/wireguard/peers.h"

namespace fg::wireguard {
namespace {

using test::kStart;
using test::kWallStart;

const IpAddress kSource = IpAddress::v4(192, 0, 2, 7);
const IpAddress kOther = IpAddress::v4(192, 0, 2, 8);

class Cookies : public testing::Test {
 protected:
  test::Peers peers_;
  HandshakeLimiter limiter_{peers_.gateway, peers_.random, kStart};

  // An initiation as it would be sent: MACs as in `jar`.
  InitiationBytes initiation(const CookieJar& jar, Instant now) {
    InitiationBytes out{};
    write_type(out.data(), MessageType::initiation);
    store_le32(out.data() + 4, 0x1234);
    jar.seal_macs(out, MacKeys::of(peers_.gateway.public_key()), now);
    return out;
  }
  void fill_window(Instant now) {
    for (int i = 0; i < 100; ++i) {
      ASSERT_EQ(limiter_.check(initiation({}, now), kSource, now), HandshakeVerdict::process) << i;
    }
  }
};

TEST_F(Cookies, OneHundredMessagesASecondPassAndTheNextIsAskedForACookie) {
  fill_window(kStart);
  EXPECT_EQ(limiter_.check(initiation({}, kStart), kSource, kStart + 999ms),
            HandshakeVerdict::reply_with_cookie);
  EXPECT_EQ(limiter_.check(initiation({}, kStart), kOther, kStart + 999ms),
            HandshakeVerdict::reply_with_cookie)
      << "the limit is shared by all";
  EXPECT_EQ(limiter_.check(initiation({}, kStart), kSource, kStart + 1s),
            HandshakeVerdict::process);
}

TEST_F(Cookies, ResponsesCountToo) {
  ResponseBytes response{};
  write_type(response.data(), MessageType::response);
  CookieJar{}.seal_macs(response, MacKeys::of(peers_.gateway.public_key()), kStart);
  for (int i = 0; i < 100; ++i)
    EXPECT_EQ(limiter_.check(response, kSource, kStart), HandshakeVerdict::process);
  EXPECT_EQ(limiter_.check(response, kSource, kStart), HandshakeVerdict::reply_with_cookie);
}

TEST_F(Cookies, AWrongMac1IsDroppedAndDoesNotCount) {
  InitiationBytes forged = initiation({}, kStart);
  forged[120] ^= 1;
  for (int i = 0; i < 1000; ++i)
    EXPECT_EQ(limiter_.check(forged, kSource, kStart), HandshakeVerdict::bad_mac1);
  EXPECT_EQ(limiter_.check(initiation({}, kStart), kSource, kStart), HandshakeVerdict::process);
}

TEST_F(Cookies, OtherMessagesAreMalformedHere) {
  EXPECT_EQ(limiter_.check(CookieReplyBytes{3}, kSource, kStart), HandshakeVerdict::malformed);
  EXPECT_EQ(limiter_.check({}, kSource, kStart), HandshakeVerdict::malformed);
}

class WithCookie : public Cookies {
 protected:
  void SetUp() override {
    fill_window(kStart);
    const InitiationBytes first = initiation({}, kStart);
    reply_ = limiter_.cookie_reply(first, kSource, kStart);
    const auto view = parse_cookie_reply(reply_);
    ASSERT_TRUE(view);
    EXPECT_EQ(view->receiver, ReceiverIndex{0x1234});
    ASSERT_TRUE(
        jar_.accept(*view, MacKeys::of(peers_.gateway.public_key()), mac1_of(first), kStart));
  }
  CookieReplyBytes reply_{};
  CookieJar jar_;
};

TEST_F(WithCookie, AMessageWithTheCookieIsProcessedUnderLoad) {
  EXPECT_EQ(limiter_.check(initiation(jar_, kStart), kSource, kStart), HandshakeVerdict::process);
}

TEST_F(WithCookie, TheCookieBelongsToTheSourceAddress) {
  EXPECT_EQ(limiter_.check(initiation(jar_, kStart), kOther, kStart),
            HandshakeVerdict::reply_with_cookie);
}

TEST_F(WithCookie, AWrongMac2IsAskedForACookieAgain) {
  InitiationBytes message = initiation(jar_, kStart);
  message.back() ^= 1;
  EXPECT_EQ(limiter_.check(message, kSource, kStart), HandshakeVerdict::reply_with_cookie);
}

TEST_F(WithCookie, TheInitiatorForgetsACookieAfter120Seconds) {
  EXPECT_NE(mac2_of(initiation(jar_, kStart + 120s - 1ns))[0] |
                mac2_of(initiation(jar_, kStart + 120s - 1ns))[1],
            0);
  const InitiationBytes late = initiation(jar_, kStart + 120s);
  EXPECT_TRUE(equal(mac2_of(late), Mac{}));
}

TEST_F(WithCookie, TheSecretRotatesAfter128Seconds) {
  CookieChecker checker(peers_.gateway, peers_.random, kStart);
  const InitiationBytes first = initiation({}, kStart);
  CookieJar jar;
  const CookieReplyBytes reply = checker.reply_to(first, kSource, kStart + 127s);
  ASSERT_TRUE(jar.accept(*parse_cookie_reply(reply), MacKeys::of(peers_.gateway.public_key()),
                         mac1_of(first), kStart + 127s));
  const InitiationBytes message = initiation(jar, kStart + 127s);
  EXPECT_TRUE(checker.verify_mac2(message, kSource, kStart + 128s - 1ns));
  EXPECT_FALSE(checker.verify_mac2(message, kSource, kStart + 128s));
}

TEST_F(WithCookie, AReplyBoundToAnotherMac1IsRejected) {
  CookieJar jar;
  const InitiationBytes other = initiation(jar_, kStart);
  Mac wrong{};
  std::copy_n(mac1_of(other).begin(), 16, wrong.begin());
  wrong[0] ^= 1;
  EXPECT_FALSE(jar.accept(*parse_cookie_reply(reply_), MacKeys::of(peers_.gateway.public_key()),
                          wrong, kStart));
}

TEST_F(WithCookie, BothFamiliesHaveCookies) {
  const IpAddress v6 = *IpAddress::parse("2001:db8::7");
  const InitiationBytes first = initiation({}, kStart);
  CookieJar jar;
  ASSERT_TRUE(jar.accept(*parse_cookie_reply(limiter_.cookie_reply(first, v6, kStart)),
                         MacKeys::of(peers_.gateway.public_key()), mac1_of(first), kStart));
  EXPECT_EQ(limiter_.check(initiation(jar, kStart), v6, kStart), HandshakeVerdict::process);
}

}  // namespace
}  // namespace fg::wireguard
