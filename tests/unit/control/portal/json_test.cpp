#include "control/portal/json.h"

#include <gtest/gtest.h>

#include <limits>

namespace fg::portal {
namespace {

JsonError error_of(std::string_view text) {
  const auto json = parse_json(text);
  EXPECT_FALSE(json.has_value()) << text;
  return json ? JsonError{255} : json.error();
}

TEST(Json, ReadsEveryKindOfValue) {
  const auto json = parse_json(
      R"({"a":null,"b":true,"c":-7,"d":18446744073709551615,"e":1.5,"f":"x","g":[1,[]]})");
  ASSERT_TRUE(json);
  ASSERT_EQ(json->members.size(), 7U);
  EXPECT_TRUE(json->members[0].value.is_null());
  EXPECT_TRUE(json->members[1].value.boolean);
  EXPECT_EQ(as_integer(json->members[2].value), -7);
  EXPECT_EQ(json->members[3].value.magnitude, std::numeric_limits<std::uint64_t>::max());
  EXPECT_EQ(as_integer(json->members[3].value), std::nullopt);
  EXPECT_EQ(json->members[4].value.kind, Json::Kind::fraction);
  EXPECT_EQ(json->members[5].value.text, "x");
  ASSERT_EQ(json->members[6].value.list.size(), 2U);
  EXPECT_TRUE(json->members[6].value.list[1].is_list());
}

TEST(Json, TheSmallestIntegerIsRead) {
  const auto json = parse_json("-9223372036854775808");
  ASSERT_TRUE(json);
  EXPECT_TRUE(json->is_negative);
  EXPECT_EQ(json->magnitude, 9223372036854775808ULL);
}

TEST(Json, ATextThatEndsTooEarlyIsTruncated) {
  for (const auto* text : {"", " ", "\n\t", "t", "tru", "{", "{\"a\"", "{\"a\":", "{\"a\":1",
                           "{\"a\":1,", "\"abc", "\"\\u12", "[1,", "-", "{\"a\":{\"b\":[]}"}) {
    EXPECT_EQ(error_of(text), JsonError::truncated) << text;
  }
}

TEST(Json, ATextThatIsNoJsonIsMalformed) {
  for (const auto* text : {"x", "hello", "{\"a\":1}x", "{\"a\":1} {}", "{a:1}", "[1 2]", "truE ",
                           "{\"a\":01}", "]", "{\"a\":tru}"}) {
    EXPECT_EQ(error_of(text), JsonError::malformed) << text;
  }
}

TEST(Json, InvalidUtf8IsMalformed) { EXPECT_EQ(error_of("\"\xff\xfe\""), JsonError::malformed); }

TEST(Json, NestingIsRefusedOnePastTheLimit) {
  const std::string limit(128, '[');
  EXPECT_TRUE(parse_json(limit + std::string(128, ']')));
  EXPECT_EQ(error_of("[" + limit + std::string(129, ']')), JsonError::malformed);
}

TEST(Json, OneValueMoreThanAllowedIsRefused) {
  std::string text = "[";
  for (std::size_t i = 1; i < kJsonValuesMax; ++i) text += i == 1 ? "1" : ",1";
  EXPECT_TRUE(parse_json(text + "]"));
  EXPECT_EQ(error_of(text + ",1]"), JsonError::malformed);
}

TEST(ObjectReader, ADoubledMemberRejectsOnlyWhenItIsAskedFor) {
  const auto json = parse_json(R"({"a":"1","a":"1","b":"2"})");
  ASSERT_TRUE(json);
  ObjectReader known(*json);
  EXPECT_EQ(known.text("b"), "2");
  EXPECT_TRUE(known.ok());
  (void)known.find("a");
  EXPECT_FALSE(known.ok());
}

TEST(ObjectReader, RejectsMissingMembersWrongKindsAndNonObjects) {
  const auto json = parse_json(R"({"n":1,"z":null,"s":"x"})");
  ASSERT_TRUE(json);
  {
    ObjectReader from(*json);
    EXPECT_EQ(from.optional_text("absent", false), std::nullopt);
    EXPECT_EQ(from.optional_text("z", true), std::nullopt);
    EXPECT_TRUE(from.optional_boolean("absent", true));
    EXPECT_TRUE(from.ok());
  }
  {
    ObjectReader from(*json);
    (void)from.optional_text("z", false);
    EXPECT_FALSE(from.ok());
  }
  {
    ObjectReader from(*json);
    (void)from.text("n");
    EXPECT_FALSE(from.ok());
  }
  {
    ObjectReader from(*json);
    (void)from.integer("s");
    EXPECT_FALSE(from.ok());
  }
  {
    ObjectReader from(*json);
    (void)from.optional_boolean("z", false);
    EXPECT_FALSE(from.ok());
  }
  EXPECT_FALSE(ObjectReader(json->members[0].value).ok());
}

TEST(Json, ANulIsNowhereTheEndOfTheText) {
  using std::string_view_literals::operator""sv;
  for (const auto text :
       {"{}\0"sv, "{}\0garbage"sv, "\0"sv, "\0{}"sv, "{\"a\":1\0}"sv, "\"a\0b\""sv}) {
    const auto json = parse_json(text);
    ASSERT_FALSE(json);
    EXPECT_EQ(json.error(), JsonError::malformed);
  }
  EXPECT_EQ(parse_json(R"("a\u0000b")")->text, "a\0b"sv);
}

TEST(Json, TextIsEscapedAsJsonNeedsIt) {
  std::string out;
  append_json_text(out, "a\"b\\c\n\r\t\x01\x1f/é");
  EXPECT_EQ(out, "\"a\\\"b\\\\c\\n\\r\\t\\u0001\\u001f/é\"");
}

}  // namespace
}  // namespace fg::portal
