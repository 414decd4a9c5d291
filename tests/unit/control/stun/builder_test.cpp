#include "control/stun/builder.h"

#include <gtest/gtest.h>

#include "base/encoding.h"
#include "control/stun/key.h"
#include "tests/unit/control/stun/vectors.h"

namespace fg::stun {
namespace {

constexpr TransactionId kId{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
const SocketAddress kMapped = *SocketAddress::parse("192.0.2.1:52625");

struct StunBuilder : testing::Test {
  std::array<std::uint8_t, kMessageMax> buffer{};
  const Secret<16> turn_key = long_term_key(vectors::kTurnUsername, "firezone",
                                            SecretText{std::string{vectors::kTurnPassword}});
};

// spec connectivity 10.2
TEST_F(StunBuilder, CheckAndReplyOfTheSpec) {
  Builder check{buffer, Method::binding, Class::request, kId};
  check.username("qhpm:mp5g")
      .ice_controlling(0x0102030405060708)
      .priority(1862270719)
      .use_candidate();
  check.integrity(as_bytes(vectors::kCheckPassword)).fingerprint();
  EXPECT_EQ(hex(*check.finish()), vectors::kCheck);

  Builder reply{buffer, Method::binding, Class::success, kId};
  reply.xor_mapped_address(kMapped).integrity(as_bytes(vectors::kCheckPassword)).fingerprint();
  EXPECT_EQ(hex(*reply.finish()), vectors::kCheckReply);
}

// spec connectivity 10.3
TEST_F(StunBuilder, AllocateAndChannelBindOfTheSpec) {
  Builder allocate{buffer, Method::allocate, Class::request, kId};
  allocate.requested_transport_udp().additional_address_family_v6().software("snownet");
  allocate.username(vectors::kTurnUsername).realm("firezone").integrity(turn_key.expose());
  EXPECT_EQ(hex(*allocate.finish()), vectors::kAllocate);

  Builder bind{buffer, Method::channel_bind, Class::request, kId};
  bind.xor_peer_address(kMapped).channel_number(0x4000).software("snownet");
  bind.username(vectors::kTurnUsername)
      .realm("firezone")
      .nonce("nonce-1")
      .integrity(turn_key.expose());
  EXPECT_EQ(hex(*bind.finish()), vectors::kChannelBind);
}

TEST_F(StunBuilder, PadsEveryLengthWithZeros) {
  buffer.fill(0xFF);
  for (std::size_t n = 0; n <= 8; ++n) {
    Builder b{buffer, Method::binding, Class::request, kId};
    const std::string text(n, 'x');
    b.software(text).priority(7);
    const auto bytes = b.finish();
    ASSERT_TRUE(bytes);
    EXPECT_EQ(bytes->size() % 4, 0U);
    for (std::size_t i = 24 + n; i < 24 + (n + 3) / 4 * 4; ++i) EXPECT_EQ((*bytes)[i], 0);
    EXPECT_EQ(Message::parse(*bytes)->software(), text);
    EXPECT_EQ(Message::parse(*bytes)->priority(), 7U);
  }
}

TEST_F(StunBuilder, AddressesOfBothFamiliesReadBack) {
  for (const char* text :
       {"198.51.100.7:1", "[2001:db8:51::10]:65535", "[::]:0", "255.255.255.255:3478"}) {
    const auto address = *SocketAddress::parse(text);
    Builder b{buffer, Method::binding, Class::success, {9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 255, 254}};
    b.xor_mapped_address(address).xor_peer_address(address);
    const auto bytes = b.finish();
    EXPECT_EQ(Message::parse(*bytes)->xor_mapped_address(), address);
    EXPECT_EQ(Message::parse(*bytes)->xor_peer_address(), address);
  }
}

TEST_F(StunBuilder, ErrorCodeSplitsIntoClassAndNumber) {
  Builder b{buffer, Method::binding, Class::error, kId};
  b.error_code(487, "Role Conflict");
  const auto bytes = b.finish();
  EXPECT_EQ(hex(bytes->subspan(20, 8)), "0009001100000457");
  const auto error = Message::parse(*bytes)->error_code();
  EXPECT_EQ(error->code, 487);
  EXPECT_EQ(error->reason, "Role Conflict");
}

TEST_F(StunBuilder, IntegrityAndFingerprintOfItsOwnMessagesVerify) {
  Builder b{buffer, Method::binding, Class::request, kId};
  b.username("a:b").integrity(as_bytes("key")).fingerprint();
  const auto m = Message::parse(*b.finish());
  ASSERT_TRUE(m);
  EXPECT_TRUE(m->has_fingerprint());
  EXPECT_TRUE(m->verify_integrity(as_bytes("key")));
}

TEST_F(StunBuilder, SaysWhenItDoesNotFit) {
  std::array<std::uint8_t, 48> small{};
  Builder fits{small, Method::binding, Class::request, kId};
  EXPECT_TRUE(fits.software("twenty-four bytes exact!").finish());
  Builder too_much{small, Method::binding, Class::request, kId};
  EXPECT_FALSE(too_much.software("twenty-four bytes exactly")
                   .fingerprint()
                   .integrity(as_bytes("k"))
                   .finish());
  Builder no_header{MutableBytes{small}.first(19), Method::binding, Class::request, kId};
  EXPECT_FALSE(no_header.integrity(as_bytes("k")).finish());
}

TEST_F(StunBuilder, AnyUsernameThePortalMaySendFitsWithTheLongestNonce) {
  Builder b{buffer, Method::channel_bind, Class::request, kId};
  const std::string name(kUsernameMax, 'u');
  const std::string nonce(kTextMax, 'n');
  b.xor_peer_address(*SocketAddress::parse("[2001:db8::1]:1"))
      .channel_number(0x4000)
      .software("snownet");
  b.username(name).realm("firezone").nonce(nonce).integrity(turn_key.expose());
  EXPECT_TRUE(b.finish());
}

}  // namespace
}  // namespace fg::stun
