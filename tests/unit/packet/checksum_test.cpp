#include "packet/checksum.h"

#include <fstream>
#include <random>
#include <sstream>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "base/encoding.h"
#include "tests/support/packets.h"

namespace fg::packet {
namespace {

using test::naive_sum;

// 0x0000 and 0xFFFF are the same number in one's complement.
std::uint32_t normal(std::uint32_t sum) { return sum == 0xFFFF ? 0 : sum; }

TEST(Checksum, MatchesTheVectorFile) {
  std::ifstream file{std::string{FG_SOURCE_DIR} + "/tests/vectors/checksum/internet_checksum.txt"};
  ASSERT_TRUE(file.is_open());
  int sums = 0;
  int updates = 0;
  std::string line;
  while (std::getline(file, line)) {
    if (line.empty() || line[0] == '#') continue;
    std::istringstream fields{line};
    std::string kind;
    fields >> kind;
    if (kind == "sum") {
      std::string data;
      std::string sum;
      fields >> data >> sum;
      EXPECT_EQ(normal(sum_of(*decode_hex(data))),
                normal(static_cast<std::uint32_t>(std::stoul(sum, nullptr, 16))))
          << line;
      ++sums;
    } else {
      std::string checksum;
      std::string was;
      std::string is;
      std::string result;
      fields >> checksum >> was >> is >> result;
      const auto number = [](const std::string& s) {
        return static_cast<std::uint16_t>(std::stoul(s, nullptr, 16));
      };
      EXPECT_EQ(update(number(checksum), number(was), number(is)), number(result)) << line;
      ++updates;
    }
  }
  EXPECT_GE(sums, 3);
  EXPECT_GE(updates, 1);
}

TEST(Checksum, SumOfEveryLengthAndAlignmentEqualsTheNaiveOne) {
  std::mt19937 random{1};
  ByteVector data(400);
  for (auto& b : data) b = static_cast<std::uint8_t>(random());
  for (std::size_t at = 0; at < 9; ++at) {
    for (std::size_t n = 0; n + at <= data.size(); ++n) {
      const Bytes part = Bytes{data}.subspan(at, n);
      ASSERT_EQ(normal(sum_of(part)), normal(naive_sum(part))) << at << "+" << n;
    }
  }
}

TEST(Checksum, SurvivesTheLargestPacketOfOnes) {
  const ByteVector ones(65535, 0xFF);
  EXPECT_EQ(normal(sum_of(ones)), normal(naive_sum(ones)));
}

TEST(Checksum, KeepsTheCarryOutOfTheUpperHalf) {
  // Four-byte words whose sum is 0x1FFFFFFFF in either byte order: folding it once carries again.
  for (const std::size_t one : {std::size_t{8}, std::size_t{11}}) {
    ByteVector data(12, 0);
    std::fill_n(data.begin(), 8, std::uint8_t{0xFF});
    data[one] = 1;
    EXPECT_EQ(normal(sum_of(data)), normal(naive_sum(data)));
  }
}

TEST(Checksum, CopyAndSumCopiesExactlyAndSums) {
  const auto data = test::counting(300, 7);
  for (std::size_t n = 0; n <= data.size(); ++n) {
    ByteVector to(n + 1, 0xEE);
    const Sum sum = copy_and_sum(to.data(), Bytes{data}.first(n));
    ASSERT_TRUE(equal(Bytes{to}.first(n), Bytes{data}.first(n)));
    ASSERT_EQ(to[n], 0xEE);
    ASSERT_EQ(sum, sum_of(Bytes{data}.first(n)));
  }
}

TEST(Checksum, PseudoHeadersOfBothFamilies) {
  for (const auto* const pair : {"10.1.2.3 192.168.255.254", "fd00:2021:1111::1 2001:db8::ffff"}) {
    const std::string text = pair;
    const auto a = test::ip(text.substr(0, text.find(' ')));
    const auto b = test::ip(text.substr(text.find(' ') + 1));
    EXPECT_EQ(normal(pseudo_header(a.bytes(), b.bytes(), 17, 65535)),
              normal(test::naive_pseudo_header(a, b, 17, 65535)));
  }
}

TEST(Checksum, AResultOfZeroIsSentAsAllOnes) {
  EXPECT_EQ(finish(0xFFFF), 0xFFFF);
  EXPECT_EQ(finish(0x0000), 0xFFFF);
  EXPECT_EQ(finish(0xFFFE), 0x0001);
}

RC_GTEST_PROP(Checksum, PartsCombineToTheWhole, (const ByteVector& a, const ByteVector& b)) {
  ByteVector whole = a;
  whole.insert(whole.end(), b.begin(), b.end());
  const Sum tail = a.size() % 2 == 0 ? sum_of(b) : swapped(sum_of(b));
  RC_ASSERT(normal(add(sum_of(a), tail)) == normal(sum_of(whole)));
}

RC_GTEST_PROP(Checksum, UpdateEqualsFullComputation,
              (ByteVector data, std::size_t at, std::uint16_t value)) {
  data.resize(2 + data.size() / 2 * 2);
  at = at % (data.size() / 2) * 2;
  const auto before = finish(sum_of(data));
  const auto was = load_be16(data.data() + at);
  store_be16(data.data() + at, value);
  RC_ASSERT(normal(update(before, was, value)) == normal(finish(sum_of(data))));
}

RC_GTEST_PROP(Checksum, UpdateKeepsAWrongChecksumWrongByTheSameAmount,
              (std::uint16_t error, std::uint16_t was, std::uint16_t is)) {
  const Sum rest = 0x1234;
  const auto right = finish(add(rest, was));
  const auto wrong = add(right, error);
  RC_ASSERT(normal(update(wrong, was, is)) == normal(add(finish(add(rest, is)), error)));
}

}  // namespace
}  // namespace fg::packet
