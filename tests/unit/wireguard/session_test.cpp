#include "wireguard/session.h"

#include <gtest/gtest.h>

namespace fg::wireguard {
namespace {

constexpr Instant kStart{1000h};

SessionKeys keys(std::uint32_t local, Role role, Instant established = kStart,
                 std::uint8_t fill = 1) {
  std::array<std::uint8_t, 32> a, b;
  a.fill(fill);
  b.fill(static_cast<std::uint8_t>(fill + 100));
  SessionKeys out;
  out.local_index = ReceiverIndex{local};
  out.remote_index = local ^ 0xFFFF;
  out.send = Secret<32>{role == Role::initiator ? a : b};
  out.receive = Secret<32>{role == Role::initiator ? b : a};
  out.role = role;
  out.established = established;
  return out;
}

ByteVector sealed(Session& session, Bytes inner) {
  ByteVector out(inner.size() + 32);
  std::copy(inner.begin(), inner.end(), out.begin() + 16);
  EXPECT_TRUE(session.seal(out.data(), inner.size()));
  return out;
}

class Sessions : public testing::Test {
 protected:
  crypto::AeadEngine engine_;
  Session initiator_{keys(0x100, Role::initiator), engine_};
  Session responder_{keys(0x200, Role::responder), engine_};
  ByteVector inner_ = ByteVector(100, 0x5A);
};

TEST_F(Sessions, OneSideOpensWhatTheOtherSealed) {
  ByteVector message = sealed(initiator_, inner_);
  EXPECT_EQ(message.size(), 132U);
  EXPECT_EQ(data_receiver(message.data()), ReceiverIndex{0x100 ^ 0xFFFF});
  EXPECT_EQ(data_counter(message.data()), 0U);
  const OpenResult out = responder_.open(message, kStart);
  EXPECT_EQ(out.status, OpenStatus::ok);
  EXPECT_TRUE(equal(out.inner, inner_));
  ByteVector back = sealed(responder_, inner_);
  EXPECT_EQ(initiator_.open(back, kStart).status, OpenStatus::ok);
}

TEST_F(Sessions, AKeepaliveIsAnEmptyPacketOf32Bytes) {
  ByteVector message = sealed(initiator_, {});
  EXPECT_EQ(message.size(), 32U);
  const OpenResult out = responder_.open(message, kStart);
  EXPECT_EQ(out.status, OpenStatus::ok);
  EXPECT_TRUE(out.inner.empty());
}

TEST_F(Sessions, CountersIncreaseByOne) {
  for (std::uint64_t i = 0; i < 5; ++i) EXPECT_EQ(data_counter(sealed(initiator_, {}).data()), i);
}

TEST_F(Sessions, AReplayIsRejectedBeforeTheCryptography) {
  ByteVector message = sealed(initiator_, inner_);
  ByteVector again = message;
  EXPECT_EQ(responder_.open(message, kStart).status, OpenStatus::ok);
  const ByteVector before = again;
  EXPECT_EQ(responder_.open(again, kStart).status, OpenStatus::replayed);
  EXPECT_EQ(again, before);
}

TEST_F(Sessions, AForgeryDoesNotMoveTheWindow) {
  ByteVector forged = sealed(initiator_, inner_);
  const ByteVector genuine = forged;
  forged.back() ^= 1;
  EXPECT_EQ(responder_.open(forged, kStart).status, OpenStatus::bad_tag);
  ByteVector far(32);
  write_data_header(far.data(), 0, 1'000'000);
  EXPECT_EQ(responder_.open(far, kStart).status, OpenStatus::bad_tag);
  ByteVector copy = genuine;
  EXPECT_EQ(responder_.open(copy, kStart).status, OpenStatus::ok);
}

TEST_F(Sessions, ReorderingWithinTheWindowIsAccepted) {
  std::vector<ByteVector> messages;
  for (int i = 0; i < 8192; ++i) messages.push_back(sealed(initiator_, {}));
  for (auto it = messages.rbegin(); it != messages.rend(); ++it) {
    ASSERT_EQ(responder_.open(*it, kStart).status, OpenStatus::ok);
  }
}

TEST_F(Sessions, ReceiveUntil180SecondsOfAge) {
  ByteVector first = sealed(initiator_, {}), second = sealed(initiator_, {});
  EXPECT_EQ(responder_.open(first, kStart + 180s - 1ns).status, OpenStatus::ok);
  EXPECT_EQ(responder_.open(second, kStart + 180s).status, OpenStatus::expired);
}

TEST_F(Sessions, AnInitiatorSendsFor170AndAResponderFor180Seconds) {
  EXPECT_TRUE(initiator_.can_send(kStart + 170s - 1ns));
  EXPECT_FALSE(initiator_.can_send(kStart + 170s));
  EXPECT_TRUE(responder_.can_send(kStart + 180s - 1ns));
  EXPECT_FALSE(responder_.can_send(kStart + 180s));
}

TEST_F(Sessions, ACounterBeyondTheLimitIsRejected) {
  ByteVector message(32);
  write_data_header(message.data(), 0, 0xFFFF'FFFF'FFFF'DFFFULL);
  EXPECT_EQ(responder_.open(message, kStart).status, OpenStatus::replayed);
}

TEST_F(Sessions, TheLastCounterIsSentAndNothingAfterIt) {
  constexpr std::uint64_t kLimit = 0xFFFF'FFFF'FFFF'DFFFULL;  // whitepaper §6.1: 2^64 - 2^13 - 1
  Session session(keys(0x100, Role::initiator), engine_, kLimit - 1);
  EXPECT_TRUE(session.can_send(kStart));
  ByteVector message(32, 0xEE);
  EXPECT_TRUE(session.seal(message.data(), 0));
  EXPECT_EQ(data_counter(message.data()), kLimit - 1);
  EXPECT_EQ(responder_.open(message, kStart).status, OpenStatus::ok);
  EXPECT_FALSE(session.can_send(kStart));
  ByteVector untouched(32, 0xEE);
  EXPECT_FALSE(session.seal(untouched.data(), 0));
  EXPECT_EQ(untouched, ByteVector(32, 0xEE));
}

TEST_F(Sessions, ManyMessagesAreNoticedInEitherDirection) {
  constexpr std::uint64_t kRekey = 1ULL << 60;  // whitepaper §6.1
  Session sending(keys(0x100, Role::initiator), engine_, kRekey - 1);
  EXPECT_FALSE(sending.has_many_messages());
  ByteVector message = sealed(sending, {});
  EXPECT_TRUE(sending.has_many_messages());
  EXPECT_FALSE(responder_.has_many_messages());
  EXPECT_EQ(responder_.open(message, kStart).status, OpenStatus::ok);
  EXPECT_TRUE(responder_.has_many_messages());
}

class Ring : public testing::Test {
 protected:
  crypto::AeadEngine engine_;
  SessionRing ring_;
};

TEST_F(Ring, FindsByTheFullIndexOnly) {
  ring_.install(keys(0x1203, Role::responder), engine_);
  EXPECT_NE(ring_.find(ReceiverIndex{0x1203}), nullptr);
  EXPECT_EQ(ring_.find(ReceiverIndex{0x120B}), nullptr) << "same slot, other handshake";
  EXPECT_EQ(ring_.find(ReceiverIndex{0x9903}), nullptr) << "other connection";
}

TEST_F(Ring, AnInitiatedSessionSendsAtOnce) {
  Session& s = ring_.install(keys(0, Role::initiator), engine_);
  EXPECT_EQ(ring_.sending(kStart), &s);
  EXPECT_FALSE(ring_.on_authenticated(s));
}

TEST_F(Ring, AnAnsweredSessionSendsAfterItsFirstPacket) {
  Session& s = ring_.install(keys(0, Role::responder), engine_);
  EXPECT_EQ(ring_.sending(kStart), nullptr);
  EXPECT_TRUE(ring_.on_authenticated(s));
  EXPECT_EQ(ring_.sending(kStart), &s);
  EXPECT_FALSE(ring_.on_authenticated(s)) << "confirmed once";
}

TEST_F(Ring, ThePreviousSessionSendsUntilTheNewOneIsConfirmed) {
  Session& old = ring_.install(keys(0, Role::responder), engine_);
  ring_.on_authenticated(old);
  Session& fresh = ring_.install(keys(1, Role::responder), engine_);
  EXPECT_EQ(ring_.sending(kStart), &old);
  EXPECT_FALSE(ring_.on_authenticated(old));
  EXPECT_EQ(ring_.sending(kStart), &old);
  EXPECT_TRUE(ring_.on_authenticated(fresh));
  EXPECT_EQ(ring_.sending(kStart), &fresh);
  EXPECT_FALSE(ring_.on_authenticated(old)) << "a late packet does not bring the old one back";
  EXPECT_EQ(ring_.sending(kStart), &fresh);
}

TEST_F(Ring, HoldsEightSessionsAndTheNinthReplacesTheOldest) {
  for (std::uint32_t i = 0; i < 9; ++i) ring_.install(keys(i, Role::responder), engine_);
  EXPECT_EQ(ring_.size(), 8U);
  EXPECT_EQ(ring_.find(ReceiverIndex{0}), nullptr);
  for (std::uint32_t i = 1; i < 9; ++i) EXPECT_NE(ring_.find(ReceiverIndex{i}), nullptr) << i;
}

TEST_F(Ring, ReplacingTheSendingSessionStopsSending) {
  ring_.install(keys(0, Role::initiator), engine_);
  Session& replacement = ring_.install(keys(8, Role::responder), engine_);
  EXPECT_EQ(ring_.current(), nullptr);
  EXPECT_EQ(ring_.sending(kStart), nullptr);
  EXPECT_TRUE(ring_.on_authenticated(replacement));
}

TEST_F(Ring, ForgetsSessionsAfter180Seconds) {
  ring_.install(keys(0, Role::initiator), engine_);
  ring_.install(keys(1, Role::initiator, kStart + 60s), engine_);
  EXPECT_EQ(ring_.next_expiry(), kStart + 180s);
  ring_.expire(kStart + 180s - 1ns);
  EXPECT_EQ(ring_.size(), 2U);
  ring_.expire(kStart + 180s);
  EXPECT_EQ(ring_.size(), 1U);
  EXPECT_NE(ring_.sending(kStart + 180s), nullptr);
  ring_.expire(kStart + 240s);
  EXPECT_EQ(ring_.size(), 0U);
  EXPECT_EQ(ring_.current(), nullptr);
  EXPECT_FALSE(ring_.next_expiry());
}

TEST(InnerLength, CutsPaddingAndRejectsLies) {
  ByteVector v4(64);
  v4[0] = 0x45;
  store_be16(v4.data() + 2, 50);
  EXPECT_EQ(inner_length(v4), 50U);
  store_be16(v4.data() + 2, 64);
  EXPECT_EQ(inner_length(v4), 64U);
  store_be16(v4.data() + 2, 65);
  EXPECT_FALSE(inner_length(v4));
  store_be16(v4.data() + 2, 19);
  EXPECT_FALSE(inner_length(v4));
  ByteVector v6(64);
  v6[0] = 0x60;
  store_be16(v6.data() + 4, 24);
  EXPECT_EQ(inner_length(v6), 64U);
  store_be16(v6.data() + 4, 25);
  EXPECT_FALSE(inner_length(v6));
  store_be16(v6.data() + 4, 0);
  EXPECT_EQ(inner_length(v6), 40U);
  EXPECT_FALSE(inner_length(Bytes{v6}.first(39)));
  EXPECT_FALSE(inner_length(Bytes{v4}.first(19)));
  EXPECT_FALSE(inner_length(ByteVector(64)));
  EXPECT_FALSE(inner_length({}));
}

}  // namespace
}  // namespace fg::wireguard
