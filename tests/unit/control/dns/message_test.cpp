#include "control/dns/message.h"

#include <gtest/gtest.h>

#include "messages.h"

namespace fg::dns {
namespace {

using namespace test;

constexpr unsigned kId = 0x1234;

bool is_query(const std::string& text) { return parse_query(as_bytes(text)).has_value(); }

bool answers(const std::string& reply, const std::string& query) {
  const auto r = Message::parse(as_bytes(reply));
  const auto q = parse_query(as_bytes(query));
  return r && q && is_answer_to(*r, *q);
}

TEST(Message, AQueryHasItsIdAndItsQuestion) {
  const auto text = query(kId);
  const auto message = parse_query(as_bytes(text));
  ASSERT_TRUE(message);
  EXPECT_EQ(message->id, kId);
  EXPECT_FALSE(message->is_response);
  EXPECT_EQ(text_of(message->question), question("_ldap._tcp.lab.test"));
}

TEST(Message, AQueryMayCarryMoreThanItsQuestion) {
  auto text = query(kId);
  text[11] = 1;
  text += '\0' + be16(41) + be16(4096) + be16(0) + be16(0) + be16(0);  // EDNS, RFC 6891 §6.1.2
  EXPECT_TRUE(is_query(text));
  EXPECT_TRUE(is_query(header(kId, 0x2900, 1, 1) + question("lab.test") + record(5)));  // UPDATE
}

TEST(Message, AResponseIsNoQuery) { EXPECT_FALSE(is_query(reply(query(kId)))); }

TEST(Message, AQueryHasExactlyOneQuestion) {
  EXPECT_FALSE(is_query(header(kId, 0x0100, 0, 0)));
  EXPECT_FALSE(is_query(header(kId, 0x0100, 2, 0) + question("a.test") + question("b.test")));
}

TEST(Message, AnythingCutOffIsNoQuery) {
  const auto whole = header(kId, 0x0100, 1, 1) + question("lab.test") + record(5);
  ASSERT_TRUE(is_query(whole));
  for (std::size_t n = 0; n < whole.size(); ++n) EXPECT_FALSE(is_query(whole.substr(0, n))) << n;
}

TEST(Message, TheAnswerSectionOfAQueryMustBeThere) {
  EXPECT_FALSE(is_query(header(kId, 0x0100, 1, 1) + question("lab.test")));
  EXPECT_FALSE(is_query(header(kId, 0x0100, 1, 65535) + question("lab.test") + record(5)));
}

TEST(Message, NamesEndWithin255BytesAndLabelsWithin63) {
  std::string longest;
  for (int i = 0; i < 127; ++i) longest += (i == 0 ? "" : ".") + std::string("a");
  ASSERT_EQ(labels(longest).size(), 255U);
  EXPECT_TRUE(is_query(header(kId, 0, 1, 0) + question(longest)));
  EXPECT_FALSE(is_query(header(kId, 0, 1, 0) + question(longest + ".b")));
  EXPECT_TRUE(is_query(header(kId, 0, 1, 0) + question(std::string(63, 'a'))));
  EXPECT_FALSE(is_query(header(kId, 0, 1, 0) + question(std::string(64, 'a'))));
}

TEST(Message, CompressedNamesPointBackwardsAndNeverInTheQuestion) {
  const auto tail = be16(kTxt) + be16(1);
  EXPECT_FALSE(is_query(header(kId, 0, 1, 0) + be16(0xC000) + tail));
  const auto with_owner = [&](unsigned pointer) {
    return header(kId, 0, 1, 1) + question("lab.test") + be16(pointer) + tail + be16(0) + be16(0) +
           be16(0);
  };
  EXPECT_TRUE(is_query(with_owner(0xC00C)));
  EXPECT_FALSE(is_query(with_owner(0xC000)));  // the header
  EXPECT_FALSE(is_query(with_owner(0xC01A)));  // itself
  EXPECT_FALSE(is_query(with_owner(0xFFFF)));
}

TEST(Message, AnAnswerHasIdAndQuestionOfItsQueryInAnyCase) {
  const auto asked = query(kId);
  EXPECT_TRUE(answers(reply(asked), asked));
  EXPECT_TRUE(answers(reply(query(kId, "_LDAP._tcp.lab.TEST")), asked));
  EXPECT_FALSE(answers(reply(query(kId + 1)), asked));
  EXPECT_FALSE(answers(reply(query(kId, "_ldap._tcp.lab.tesu")), asked));
  EXPECT_FALSE(answers(reply(query(kId, "_ldap._tcp.lab.test", kTxt)), asked));
  EXPECT_FALSE(answers(asked, asked));  // no response
}

TEST(Message, TypesAreNotLettersToBeFolded) {
  const auto https = query(kId, "lab.test", 0x41);  // RFC 9460 §14.1; 'A'
  EXPECT_TRUE(answers(reply(https), https));
  EXPECT_FALSE(answers(reply(query(kId, "lab.test", 0x61)), https));
}

TEST(Message, OnlyARefusalMayLeaveTheQuestionOut) {
  EXPECT_TRUE(answers(header(kId, 0x8185, 0, 0), query(kId)));
  EXPECT_FALSE(answers(header(kId, 0x8180, 0, 0), query(kId)));
  EXPECT_FALSE(answers(header(kId, 0x8185, 2, 0) + question("a.test") + question("a.test"),
                       query(kId, "a.test")));
}

TEST(Message, ServerFailureKeepsIdOpcodeRecursionAndQuestion) {
  const auto asked = header(kId, 0x0110, 1, 1) + question("lab.test") + record(5);
  EXPECT_EQ(text_of(server_failure(as_bytes(asked))),
            header(kId, 0x8182, 1, 0) + question("lab.test"));
  const auto status = header(kId, 0x1000, 1, 0) + question("lab.test");
  EXPECT_EQ(text_of(server_failure(as_bytes(status))),
            header(kId, 0x9082, 1, 0) + question("lab.test"));
}

TEST(Message, TruncationLeavesHeaderAndQuestion) {
  const auto whole = reply(query(kId), 1300, 0x8580);
  EXPECT_EQ(text_of(truncated(as_bytes(whole))),
            header(kId, 0x8780, 1, 0) + question("_ldap._tcp.lab.test"));
}

TEST(Message, AnAddressQueryIsWrittenAsDigDoes) {
  EXPECT_EQ(text_of(address_query(kId, "firezone.dev")), query(kId, "firezone.dev", 1));
}

TEST(Message, TheIdIsTheFirstTwoBytes) {
  auto bytes = copy_of(as_bytes(query(kId)));
  set_id(bytes, 0xBEEF);
  EXPECT_EQ(text_of(bytes), query(0xBEEF));
}

}  // namespace
}  // namespace fg::dns
