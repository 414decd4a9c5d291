#include "control/dns/stream.h"

#include <gtest/gtest.h>

#include "control/dns/message.h"
#include "messages.h"

namespace fg::dns {
namespace {

using test::text_of;

TEST(Stream, MessagesComeOutAsTheyWentInHoweverTheyWereCut) {
  ByteVector all;
  for (const std::string text : {"first", "", "the third"}) {
    const auto one = framed(as_bytes(text));
    all.insert(all.end(), one.begin(), one.end());
  }
  for (std::size_t step = 1; step <= all.size(); ++step) {
    StreamReader reader;
    std::vector<std::string> found;
    for (std::size_t at = 0; at < all.size(); at += step) {
      reader.append(Bytes{all}.subspan(at, std::min(step, all.size() - at)));
      while (const auto message = reader.poll_message()) found.push_back(text_of(*message));
    }
    EXPECT_EQ(found, (std::vector<std::string>{"first", "", "the third"})) << step;
  }
}

TEST(Stream, ALengthIsTwoBytesInNetworkOrder) {
  const auto out = framed(ByteVector(0x0102, 7));
  EXPECT_EQ(out.size(), 0x0102U + 2);
  EXPECT_EQ(out[0], 1);
  EXPECT_EQ(out[1], 2);
}

TEST(Stream, TheLongestMessageFits) {
  StreamReader reader;
  reader.append(framed(ByteVector(kMessageMax, 1)));
  EXPECT_EQ(reader.poll_message()->size(), kMessageMax);
  EXPECT_FALSE(reader.poll_message());
}

}  // namespace
}  // namespace fg::dns
