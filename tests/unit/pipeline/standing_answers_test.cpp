#include "pipeline/standing_answers.h"

#include <gtest/gtest.h>

#include <string>

#include "control/stun/builder.h"
#include "control/stun/message.h"
#include "tests/unit/pipeline/world.h"

namespace fg::pipeline {
namespace {

const Instant kStart{1000s};
const SecretText kKey{"vvzsh3aql5cprilhk5hpja"};

SocketAddress at(const char* text) { return SocketAddress::parse(text).value(); }
Path direct(const SocketAddress& from = at("203.0.113.7:4001")) {
  return {Path::Kind::direct, *IpAddress::parse("198.51.100.10"), from, {}};
}
stun::TransactionId transaction(std::uint8_t n) {
  stun::TransactionId id{};
  id.fill(n);
  return id;
}
ByteVector copy_of(std::optional<Bytes> bytes) { return fg::copy_of(bytes.value()); }

// A check as original clients send it, all attributes in their order.
ByteVector question(std::uint8_t n, const SecretText& key = kKey, bool nominates = false,
                    std::uint32_t priority = 0x6EFFFFFF, std::string_view user = "6pya:277o") {
  std::array<std::uint8_t, 200> buffer{};
  stun::Builder builder{buffer, stun::Method::binding, stun::Class::request, transaction(n)};
  builder.username(user).ice_controlling(7).priority(priority);
  if (nominates) builder.use_candidate();
  return copy_of(builder.integrity(as_bytes(key.expose())).fingerprint().finish());
}
ByteVector answer(const SocketAddress& mapped, const stun::TransactionId& id = {}) {
  std::array<std::uint8_t, 200> buffer{};
  stun::Builder builder{buffer, stun::Method::binding, stun::Class::success, id};
  builder.xor_mapped_address(mapped);
  return copy_of(builder.integrity(as_bytes(kKey.expose())).fingerprint().finish());
}
SetStandingAnswer standing(std::uint32_t connection = 1, std::uint32_t pair = 1,
                           const Path& path = direct(), ByteVector asked = question(1)) {
  return {connection, pair, false, path, kKey, std::move(asked), answer(path.remote)};
}

TEST(StandingAnswers, TheNextQuestionIsAnsweredAsTheControlThreadWould) {
  for (const char* from : {"203.0.113.7:4001", "[2001:db8::7]:4001"}) {
    StandingAnswers answers;
    ASSERT_TRUE(answers.set(standing(1, 1, direct(at(from)))));
    const auto asked = question(9);
    const auto* found = answers.find(asked, direct(at(from)), kStart);
    ASSERT_NE(found, nullptr);
    ByteVector out(found->answer.size());
    StandingAnswers::write(*found, asked, out);
    EXPECT_EQ(out, answer(at(from), transaction(9)));
    const auto read = stun::Message::parse(out).value();
    EXPECT_EQ(read.xor_mapped_address(), at(from));
    EXPECT_TRUE(read.verify_integrity(as_bytes(kKey.expose())) && read.has_fingerprint());
    EXPECT_LT(out.size(), asked.size()) << "never more than was sent";
  }
}

TEST(StandingAnswers, WhatDiffersInAnyByteIsSomebodyElsesBusiness) {
  StandingAnswers answers;
  ASSERT_TRUE(answers.set(standing()));
  const auto is_found = [&](const ByteVector& message, const Path& path = direct()) {
    return answers.find(message, path, kStart) != nullptr;
  };
  EXPECT_FALSE(is_found(question(2, kKey, true))) << "nominates";
  EXPECT_FALSE(is_found(question(2, kKey, false, 0x6EFEFFFF)));
  EXPECT_FALSE(is_found(question(2, kKey, false, 0x6EFFFFFF, "6pya:277p")));
  EXPECT_FALSE(is_found(question(2), direct(at("203.0.113.7:4002"))));
  auto elsewhere = direct();
  elsewhere.local = *IpAddress::parse("198.51.100.11");
  EXPECT_FALSE(is_found(question(2), elsewhere));
  EXPECT_FALSE(
      is_found(question(2), {Path::Kind::relayed, {}, direct().remote, ChannelNumber{0x4000}}));
  for (const std::size_t length : {0U, 8U, 20U, 51U}) {
    EXPECT_FALSE(is_found(fg::copy_of(Bytes{question(2)}.first(length))));
  }
  EXPECT_TRUE(is_found(question(2)));
}

TEST(StandingAnswers, WhoDoesNotHaveTheKeyGetsNone) {
  StandingAnswers answers;
  ASSERT_TRUE(answers.set(standing()));
  EXPECT_EQ(answers.find(question(2, SecretText{"guessed"}), direct(), kStart), nullptr);
  for (std::size_t i = 0; i < question(2).size(); ++i) {
    auto broken = question(2);
    broken[i] ^= 1;
    EXPECT_EQ(answers.find(broken, direct(), kStart), nullptr) << "byte " << i;
  }
  EXPECT_NE(answers.find(question(2), direct(), kStart), nullptr);
}

TEST(StandingAnswers, AskedMoreThanOnceASecondTheControlThreadDecides) {
  StandingAnswers answers;
  ASSERT_TRUE(answers.set(standing()));
  EXPECT_NE(answers.find(question(2), direct(), kStart), nullptr);
  EXPECT_EQ(answers.find(question(3), direct(), kStart + 999ms), nullptr);
  EXPECT_NE(answers.find(question(3), direct(), kStart + 1s), nullptr);
}

TEST(StandingAnswers, APairHasOneAndAConnectionLosesAllOfIts) {
  StandingAnswers answers;
  ASSERT_TRUE(answers.set(standing(1, 1)));
  ASSERT_TRUE(answers.set(standing(1, 1, direct(), question(1, kKey, true))));
  EXPECT_EQ(answers.size(), 1U);
  EXPECT_EQ(answers.find(question(2), direct(), kStart), nullptr);
  EXPECT_NE(answers.find(question(2, kKey, true), direct(), kStart), nullptr);
  ASSERT_TRUE(answers.set(standing(1, 2, direct(at("203.0.113.8:1")))));
  ASSERT_TRUE(answers.set(standing(2, 1, direct(at("203.0.113.9:1")))));
  answers.drop(1);
  EXPECT_EQ(answers.size(), 1U);
  EXPECT_NE(answers.find(question(2), direct(at("203.0.113.9:1")), kStart), nullptr);
  answers.drop(1);
  answers.drop(2);
  EXPECT_EQ(answers.size(), 0U);
}

TEST(StandingAnswers, AreNoMoreThanTheirNumberAndOfTheirShape) {
  StandingAnswers answers;
  const auto with = [](std::uint32_t n) {
    return standing(n, 1,
                    direct({IpAddress::v4(203, static_cast<std::uint8_t>(n >> 16), 1, 1),
                            static_cast<std::uint16_t>(n)}));
  };
  for (std::uint32_t n = 0; n < StandingAnswers::kAnswersMax; ++n)
    ASSERT_TRUE(answers.set(with(n)));
  EXPECT_FALSE(answers.set(with(StandingAnswers::kAnswersMax)));
  EXPECT_TRUE(answers.set(with(3))) << "in place of its own";
  answers.drop(4);
  EXPECT_TRUE(answers.set(with(StandingAnswers::kAnswersMax)));
  EXPECT_EQ(answers.size(), StandingAnswers::kAnswersMax);

  StandingAnswers others;
  auto misshapen = standing();
  misshapen.answer.push_back(0);
  EXPECT_FALSE(others.set(std::move(misshapen)));
  EXPECT_FALSE(others.set(standing(1, 1, direct(), ByteVector(51))));
  EXPECT_EQ(others.size(), 0U);
}

class Repeated : public testing::World {
 protected:
  const SocketAddress server_ = at("192.0.2.50:3478");

  void stand(const Path& path, const SocketAddress& mapped) {
    auto command = standing(0x12345, 3, path);
    command.answer = answer(mapped);
    apply(std::move(command));
  }
};

TEST_F(Repeated, ACheckIsAnsweredWhereItCameFromAndTold) {
  stand({Path::Kind::direct, *IpAddress::parse("198.51.100.1"), remote(1), {}}, remote(1));
  receive(question(5), 1);
  ASSERT_EQ(out_.sent.size(), 1U);
  EXPECT_EQ(out_.sent[0].to, remote(1));
  EXPECT_EQ(out_.sent[0].from, *IpAddress::parse("198.51.100.1"));
  EXPECT_EQ(out_.sent[0].bytes, answer(remote(1), transaction(5)));
  EXPECT_TRUE(out_.punts.empty());
  EXPECT_EQ(pipeline_.counters().checks_answered, 1U);
  const auto told = out_.take<CheckAnswered>();
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(told[0].connection, 0x12345U);
  EXPECT_EQ(told[0].pair, 3U);
  EXPECT_EQ(told[0].at, now_);
  EXPECT_EQ(out_.patient_events, 1U);

  auto misshapen = standing(1, 1);
  misshapen.question.clear();
  apply(std::move(misshapen));
  EXPECT_EQ(pipeline_.counters().answers_refused, 1U);

  receive(question(6), 2);
  EXPECT_EQ(out_.punts.size(), 1U) << "from elsewhere";
  advance(25s);
  apply(DropStandingAnswers{0x12345});
  receive(question(6), 1);
  EXPECT_EQ(out_.punts.size(), 2U) << "taken back";
  EXPECT_EQ(out_.sent.size(), 1U);
}

TEST_F(Repeated, OnAChannelTheAnswerGoesBackByTheChannel) {
  apply(SetRelay{RelaySlot{2}, server_});
  apply(SetChannel{RelaySlot{2}, ChannelNumber{0x4001}, true});
  stand({Path::Kind::relayed, {}, server_, ChannelNumber{0x4001}}, remote(1));
  const auto framed = [](Bytes inner, std::uint16_t channel) {
    ByteVector out(4);
    packet::write_channel_header(out.data(), ChannelNumber{channel},
                                 static_cast<std::uint16_t>(inner.size()));
    out.insert(out.end(), inner.begin(), inner.end());
    return out;
  };
  receive(framed(question(5), 0x4001), server_);
  ASSERT_EQ(out_.sent.size(), 1U);
  EXPECT_EQ(out_.sent[0].to, server_);
  EXPECT_EQ(out_.sent[0].from, std::nullopt);
  EXPECT_EQ(out_.sent[0].bytes, framed(answer(remote(1), transaction(5)), 0x4001));
  EXPECT_TRUE(out_.punts.empty());
  apply(SetChannel{RelaySlot{2}, ChannelNumber{0x4002}, true});
  advance(25s);
  receive(framed(question(5), 0x4002), server_);
  EXPECT_EQ(out_.punts.size(), 1U) << "another channel";
  receive(question(5), server_);
  EXPECT_EQ(out_.punts.size(), 2U) << "no channel";
}

}  // namespace
}  // namespace fg::pipeline
