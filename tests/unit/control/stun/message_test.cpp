#include "control/stun/message.h"

#include <gtest/gtest.h>

#include "base/encoding.h"
#include "base/random.h"
#include "control/stun/builder.h"
#include "control/stun/key.h"
#include "tests/unit/control/stun/vectors.h"

namespace fg::stun {
namespace {

ByteVector unhex(std::string_view text) { return decode_hex(text).value(); }

// Header and attributes as given, length field set.
ByteVector message_of(std::uint16_t type, std::string_view attributes_hex) {
  ByteVector out = unhex("000000002112a442000102030405060708090a0b");
  const ByteVector attributes = unhex(attributes_hex);
  store_be16(out.data(), type);
  store_be16(out.data() + 2, static_cast<std::uint16_t>(attributes.size()));
  out.insert(out.end(), attributes.begin(), attributes.end());
  return out;
}

const Bytes kRfcKey = as_bytes("VOkJxbRl1RmTxUk/WvJxBt");

TEST(StunMessage, Rfc5769RequestParsesAndVerifies) {
  const auto bytes = unhex(vectors::kRfcRequest);
  const auto m = Message::parse(bytes);
  ASSERT_TRUE(m);
  EXPECT_TRUE(m->is(Method::binding, Class::request));
  EXPECT_EQ(hex(m->transaction()), "b7e7a701bc34d686fa87dfae");
  EXPECT_EQ(m->software(), "STUN test client");
  EXPECT_EQ(m->priority(), 0x6e0001ffU);
  EXPECT_EQ(m->ice_controlled(), 0x932ff9b151263b36U);
  EXPECT_EQ(m->username(), "evtj:h6vY");
  EXPECT_FALSE(m->use_candidate());
  EXPECT_TRUE(m->has_fingerprint());
  EXPECT_TRUE(m->verify_integrity(kRfcKey));
  EXPECT_FALSE(m->verify_integrity(as_bytes("VOkJxbRl1RmTxUk/WvJxBT")));
}

TEST(StunMessage, Rfc5769ResponsesCarryMappedAddressesOfBothFamilies) {
  const auto v4 = unhex(vectors::kRfcResponseV4);
  const auto m4 = Message::parse(v4);
  ASSERT_TRUE(m4);
  EXPECT_TRUE(m4->is(Method::binding, Class::success));
  EXPECT_EQ(m4->xor_mapped_address(), SocketAddress::parse("192.0.2.1:32853"));
  EXPECT_TRUE(m4->verify_integrity(kRfcKey));

  const auto v6 = unhex(vectors::kRfcResponseV6);
  const auto m6 = Message::parse(v6);
  ASSERT_TRUE(m6);
  EXPECT_EQ(m6->xor_mapped_address(),
            SocketAddress::parse("[2001:db8:1234:5678:11:2233:4455:6677]:32853"));
  EXPECT_TRUE(m6->verify_integrity(kRfcKey));
}

TEST(StunMessage, Rfc5769LongTermRequestVerifies) {
  const auto bytes = unhex(vectors::kRfcLongTerm);
  const auto m = Message::parse(bytes);
  ASSERT_TRUE(m);
  EXPECT_EQ(m->realm(), "example.org");
  EXPECT_EQ(m->nonce(), "f//499k954d6OL34oL9FSTvy64sA");
  EXPECT_FALSE(m->has_fingerprint());
  const auto key = long_term_key(*m->username(), *m->realm(), SecretText{"TheMatrIX"});
  EXPECT_TRUE(m->verify_integrity(key.expose()));
}

TEST(StunMessage, CheckOfTheSpecParsesAndVerifies) {
  const auto bytes = unhex(vectors::kCheck);
  const auto m = Message::parse(bytes);
  ASSERT_TRUE(m);
  EXPECT_EQ(m->username(), "qhpm:mp5g");
  EXPECT_EQ(m->ice_controlling(), 0x0102030405060708U);
  EXPECT_EQ(m->ice_controlled(), std::nullopt);
  EXPECT_EQ(m->priority(), 1862270719U);
  EXPECT_TRUE(m->use_candidate());
  EXPECT_TRUE(m->verify_integrity(as_bytes(vectors::kCheckPassword)));
  const auto reply_bytes = unhex(vectors::kCheckReply);
  const auto reply = Message::parse(reply_bytes);
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->xor_mapped_address(), SocketAddress::parse("192.0.2.1:52625"));
  EXPECT_TRUE(reply->verify_integrity(as_bytes(vectors::kCheckPassword)));
}

TEST(StunMessage, TurnRequestsOfTheSpecParseAndVerify) {
  const auto key = long_term_key(vectors::kTurnUsername, "firezone",
                                 SecretText{std::string{vectors::kTurnPassword}});
  const auto allocate = unhex(vectors::kAllocate);
  const auto a = Message::parse(allocate);
  ASSERT_TRUE(a);
  EXPECT_TRUE(a->is(Method::allocate, Class::request));
  EXPECT_EQ(a->requested_transport(), 17);
  EXPECT_EQ(a->additional_address_family(), 2);
  EXPECT_EQ(a->software(), "snownet");
  EXPECT_EQ(a->realm(), "firezone");
  EXPECT_EQ(a->nonce(), std::nullopt);
  EXPECT_TRUE(a->verify_integrity(key.expose()));
  const auto bind = unhex(vectors::kChannelBind);
  const auto b = Message::parse(bind);
  ASSERT_TRUE(b);
  EXPECT_EQ(b->channel_number(), 0x4000);
  EXPECT_EQ(b->xor_peer_address(), SocketAddress::parse("192.0.2.1:52625"));
  EXPECT_EQ(b->nonce(), "nonce-1");
  EXPECT_TRUE(b->verify_integrity(key.expose()));
}

TEST(StunMessage, TypeSplitsIntoMethodAndClass) {
  EXPECT_EQ(make_type(Method::allocate, Class::request), 0x0003);
  EXPECT_EQ(make_type(Method::allocate, Class::success), 0x0103);
  EXPECT_EQ(make_type(Method::allocate, Class::error), 0x0113);
  EXPECT_EQ(make_type(Method::refresh, Class::error), 0x0114);
  EXPECT_EQ(make_type(Method::channel_bind, Class::success), 0x0109);
  EXPECT_EQ(make_type(Method::binding, Class::indication), 0x0011);
  for (std::uint16_t type = 0; type < 0x4000; ++type) {
    const auto bytes = message_of(type, "");
    const auto m = Message::parse(bytes);
    ASSERT_TRUE(m);
    ASSERT_EQ(make_type(m->method(), m->type_class()), type);
  }
}

TEST(StunMessage, AcceptsAnEmptyMessageOfTwentyBytes) {
  EXPECT_TRUE(Message::parse(message_of(0x0101, "")));
}

TEST(StunMessage, RefusesEveryTruncation) {
  const auto bytes = unhex(vectors::kCheck);
  for (std::size_t n = 0; n < bytes.size(); ++n)
    EXPECT_FALSE(Message::parse(Bytes{bytes}.first(n))) << n;
  auto longer = bytes;
  longer.push_back(0);
  EXPECT_FALSE(Message::parse(longer));
}

TEST(StunMessage, RefusesTopBitsWrongCookieAndOddLength) {
  auto bytes = message_of(0x0001, "");
  bytes[0] = 0x40;
  EXPECT_FALSE(Message::parse(bytes));
  bytes[0] = 0x80;
  EXPECT_FALSE(Message::parse(bytes));
  bytes = message_of(0x0001, "");
  bytes[7] ^= 1;
  EXPECT_FALSE(Message::parse(bytes));
  bytes = message_of(0x0001, "0000");  // length 2, two bytes follow
  EXPECT_FALSE(Message::parse(bytes));
}

TEST(StunMessage, RefusesAttributesThatLeaveTheMessage) {
  EXPECT_FALSE(Message::parse(message_of(0x0001, "0006000561626364")));  // five of four bytes
  EXPECT_FALSE(Message::parse(message_of(0x0001, "0006ffff61626364")));  // far outside
  EXPECT_TRUE(Message::parse(message_of(0x0001, "0006000461626364")));
  EXPECT_FALSE(Message::parse(
      message_of(0x0001, "000800136162636461626364616263646162636461626300")));  // 19-byte MI
}

TEST(StunMessage, MismatchOfFingerprintMakesItNotStun) {
  auto bytes = unhex(vectors::kCheck);
  bytes.back() ^= 1;
  EXPECT_FALSE(Message::parse(bytes));
  bytes = unhex(vectors::kCheck);
  bytes[30] ^= 1;  // covered byte
  EXPECT_FALSE(Message::parse(bytes));
}

TEST(StunMessage, FingerprintIsNotRequired) {
  const auto m = Message::parse(message_of(0x0001, "0006000461626364"));
  EXPECT_FALSE(m->has_fingerprint());
}

TEST(StunMessage, UnknownAttributesAreSkippedAlsoComprehensionRequired) {
  const auto bytes = message_of(0x0001, "7fff000161000000ffff000000240004000000070006000461626364");
  const auto m = Message::parse(bytes);
  ASSERT_TRUE(m);
  EXPECT_EQ(m->priority(), 7U);
  EXPECT_EQ(m->username(), "abcd");
}

TEST(StunMessage, AttributesAfterIntegrityAreIgnored) {
  std::array<std::uint8_t, kMessageMax> buffer{};
  Builder b{buffer, Method::binding, Class::request, {}};
  b.username("a:b").integrity(as_bytes("key")).priority(7).use_candidate().fingerprint();
  const auto m = Message::parse(*b.finish());
  ASSERT_TRUE(m);
  EXPECT_TRUE(m->verify_integrity(as_bytes("key")));
  EXPECT_EQ(m->username(), "a:b");
  EXPECT_EQ(m->priority(), std::nullopt);
  EXPECT_FALSE(m->use_candidate());
  EXPECT_TRUE(m->has_fingerprint());
}

TEST(StunMessage, FirstAttributeOfATypeCounts) {
  const auto bytes = message_of(0x0001, "00240004000000010024000400000002");
  EXPECT_EQ(Message::parse(bytes)->priority(), 1U);
}

TEST(StunMessage, WrongSizesReadAsAbsent) {
  const auto bytes =
      message_of(0x0001, "0024000300000000802900040000000000090003000004000020000400010000");
  const auto m = Message::parse(bytes);
  ASSERT_TRUE(m);
  EXPECT_EQ(m->priority(), std::nullopt);
  EXPECT_EQ(m->ice_controlled(), std::nullopt);
  EXPECT_EQ(m->error_code(), std::nullopt);
  EXPECT_EQ(m->xor_mapped_address(), std::nullopt);
}

TEST(StunMessage, AddressesOfUnknownFamilyOrWrongSizeAreAbsent) {
  EXPECT_FALSE(
      Message::parse(message_of(0x0101, "002000080003a147e112a643"))->xor_mapped_address());
  EXPECT_FALSE(
      Message::parse(message_of(0x0101, "002000080002a147e112a643"))->xor_mapped_address());
}

TEST(StunMessage, RelayedAddressesAreFoundPerFamily) {
  std::array<std::uint8_t, kMessageMax> buffer{};
  Builder b{buffer, Method::allocate, Class::success, {}};
  const auto v6 = *SocketAddress::parse("[2001:db8::9]:50000");
  const auto v4 = *SocketAddress::parse("203.0.113.9:50000");
  b.xor_relayed_address(v6)
      .xor_relayed_address(v4)
      .xor_relayed_address(*SocketAddress::parse("203.0.113.10:1"))
      .lifetime(600);
  const auto m = Message::parse(*b.finish());
  EXPECT_EQ(m->xor_relayed_address(Family::v4), v4);
  EXPECT_EQ(m->xor_relayed_address(Family::v6), v6);
  EXPECT_EQ(m->lifetime(), 600U);
}

TEST(StunMessage, ErrorCodeNeedsAClassOfThreeToSixAndANumberBelowHundred) {
  EXPECT_EQ(Message::parse(message_of(0x0113, "0009000400000401"))->error_code()->code, 401);
  EXPECT_FALSE(Message::parse(message_of(0x0113, "0009000400000201"))->error_code());
  EXPECT_FALSE(Message::parse(message_of(0x0113, "0009000400000701"))->error_code());
  EXPECT_FALSE(Message::parse(message_of(0x0113, "0009000400000464"))->error_code());
}

TEST(StunMessage, TextBeyondItsLimitIsAbsent) {
  for (const std::size_t size : {kUsernameMax, kUsernameMax + 1}) {
    std::array<std::uint8_t, kMessageMax> buffer{};
    Builder b{buffer, Method::binding, Class::request, {}};
    const std::string name(size, 'x');
    b.username(name);
    EXPECT_EQ(Message::parse(*b.finish())->username().has_value(), size <= 513) << size;
  }
  for (const std::size_t size : {kTextMax, kTextMax + 1}) {
    std::array<std::uint8_t, kMessageMax> buffer{};
    Builder b{buffer, Method::binding, Class::request, {}};
    const std::string text(size, 'x');
    b.nonce(text);
    EXPECT_EQ(Message::parse(*b.finish())->nonce().has_value(), size <= 763) << size;
  }
}

TEST(StunMessage, EndsSealedIfIntegrityAndFingerprintAreTheLastTwo) {
  const auto built = [](auto&& add) {
    std::array<std::uint8_t, 200> buffer{};
    Builder builder{buffer, Method::binding, Class::request, {}};
    add(builder);
    const auto bytes = copy_of(*builder.finish());
    return Message::parse(bytes).value().ends_sealed();
  };
  const Bytes key = as_bytes("key");
  EXPECT_TRUE(built([&](auto& b) { b.priority(1).integrity(key).fingerprint(); }));
  EXPECT_TRUE(Message::parse(unhex(vectors::kCheck)).value().ends_sealed());
  EXPECT_FALSE(built([&](auto& b) { b.priority(1).integrity(key); }));
  EXPECT_FALSE(built([&](auto& b) { b.priority(1).fingerprint(); }));
  EXPECT_FALSE(built([&](auto& b) { b.integrity(key).priority(1).fingerprint(); }));
  EXPECT_FALSE(built([&](auto&) {}));
}

TEST(StunMessage, NoIntegrityNeverVerifies) {
  EXPECT_FALSE(Message::parse(message_of(0x0001, ""))->verify_integrity({}));
}

TEST(StunMessage, AnyBytesAreReadWithoutHarm) {
  SeededRandom random{42};
  const auto good = unhex(vectors::kCheck);
  for (int i = 0; i < 20000; ++i) {
    auto bytes = good;
    for (std::uint32_t n = 1 + random.below(4); n > 0; --n) {
      bytes[random.below(static_cast<std::uint32_t>(bytes.size()))] =
          static_cast<std::uint8_t>(random.u32());
    }
    const auto m = Message::parse(bytes);
    if (!m) continue;
    std::size_t covered = 20;
    for (auto a = m->first(); a; a = m->next(*a))
      covered = a->at + 4 + (a->value.size() + 3) / 4 * 4;
    EXPECT_EQ(covered, bytes.size());
  }
}

}  // namespace
}  // namespace fg::stun
