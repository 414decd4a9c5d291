#include "control/console/request.h"

#include <gtest/gtest.h>

namespace fg::console {
namespace {

const ClientId kClient = *ClientId::parse("7d0f1c52-9b1e-4c63-8a57-2f6d3f0b9e11");

RequestError error_of(std::string_view line) {
  const auto parsed = parse_request(line);
  EXPECT_FALSE(parsed) << line;
  return parsed ? RequestError::not_json : parsed.error();
}

TEST(Request, WhatIsWrittenIsReadBack) {
  using Kind = filter::ProtoKind;
  for (const Request& request : std::initializer_list<Request>{
           AskStatus{}, AskPeers{}, AskPeers{kClient}, AskPeer{"7d0f"},
           AskExplain{"100.64.0.1", "10.0.0.1", Kind::echo, 0, std::nullopt},
           AskExplain{"7d0f", "wiki.example", Kind::tcp, 443, std::nullopt},
           AskExplain{"7d0f", "fd20::2", Kind::udp, 65535, IpAddress::parse("fd00::1")}}) {
    const auto line = write_request(request);
    EXPECT_EQ(line.find('\n'), std::string::npos);
    const auto parsed = parse_request(line);
    ASSERT_TRUE(parsed) << line;
    EXPECT_EQ(*parsed, request) << line;
  }
}

TEST(Request, TextThatIsNoObjectIsRefused) {
  for (const auto* line :
       {"", " ", "status", "[]", "{", "1", "null", R"({"version":1,"do":"status"} x)"})
    EXPECT_EQ(error_of(line), RequestError::not_json) << line;
}

TEST(Request, AnotherVersionIsRefusedWhateverElseIsSaid) {
  for (const auto* line : {"{}", R"({"do":"status"})", R"({"version":2,"do":"status"})",
                           R"({"version":"1","do":"status"})", R"({"version":-1})"})
    EXPECT_EQ(error_of(line), RequestError::other_version) << line;
}

TEST(Request, WhatNobodyKnowsIsRefused) {
  for (const auto* line :
       {R"({"version":1})", R"({"version":1,"do":"drain"})", R"({"version":1,"do":7})"})
    EXPECT_EQ(error_of(line), RequestError::unknown) << line;
}

TEST(Request, AMissingOrWrongMemberIsRefused) {
  for (const auto* rest :
       {R"("do":"peers","after":7)", R"("do":"peers","after":"7d0f")", R"("do":"peer")",
        R"("do":"peer","client":"")", R"("do":"explain","client":"a","destination":"b")",
        R"("do":"explain","client":"a","destination":"b","protocol":"tcp")",
        R"("do":"explain","client":"a","destination":"b","protocol":"tcp","port":65536)",
        R"("do":"explain","client":"a","destination":"b","protocol":"tcp","port":-1)",
        R"("do":"explain","client":"a","destination":"b","protocol":"sctp","port":1)",
        R"("do":"explain","client":"a","destination":"b","protocol":"icmp","source":"x")"})
    EXPECT_EQ(error_of(std::string(R"({"version":1,)") + rest + "}"), RequestError::malformed)
        << rest;
}

TEST(Request, WordsAreAsLongAsANameAndNotLonger) {
  EXPECT_TRUE(parse_request(write_request(AskPeer{std::string(kWordMax, 'a')})));
  EXPECT_EQ(error_of(write_request(AskPeer{std::string(kWordMax + 1, 'a')})),
            RequestError::malformed);
}

TEST(Request, EveryErrorIsASentence) {
  for (const auto error : {RequestError::not_json, RequestError::other_version,
                           RequestError::unknown, RequestError::malformed})
    EXPECT_FALSE(sentence_of(error).empty());
}

}  // namespace
}  // namespace fg::console
