#include "packet/reassembly.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "packet/inner.h"
#include "tests/support/packets.h"

namespace fg::packet {
namespace {

using Outcome = Reassembler::Outcome;
using test::udp;

// Bytes [from, to) of the packet's payload as a fragment.
ByteVector piece(const ByteVector& packet, std::size_t from, std::size_t to) {
  const std::size_t header = (packet[0] & 0xFU) * 4U;
  const bool last = header + to >= packet.size();
  ByteVector out(packet.begin(), packet.begin() + static_cast<std::ptrdiff_t>(header));
  out.insert(out.end(), packet.begin() + static_cast<std::ptrdiff_t>(header + from),
             last ? packet.end() : packet.begin() + static_cast<std::ptrdiff_t>(header + to));
  store_be16(out.data() + 2, static_cast<std::uint16_t>(out.size()));
  store_be16(out.data() + 6, static_cast<std::uint16_t>(from / 8 | (last ? 0 : 0x2000)));
  store_be16(out.data() + 10, 0);
  store_be16(out.data() + 10, test::naive_checksum(Bytes{out}.first(header)));
  return out;
}
ByteVector whole(std::size_t payload = 600, std::uint16_t id = 7) {
  return udp()
      .from("10.1.2.3", 53)
      .to("100.64.0.101", 5000)
      .id(id)
      .dont_fragment(false)
      .payload_size(payload)
      .build();
}

class ReassemblyTest : public ::testing::Test {
 protected:
  Reassembler::Result add(const ByteVector& fragment) { return reassembler_.add(fragment, now_); }

  Instant now_{1h};
  Reassembler reassembler_;
};

TEST_F(ReassemblyTest, FragmentsInAnyOrderBecomeThePacket) {
  const auto packet = whole();
  std::vector<std::pair<std::size_t, std::size_t>> ranges{
      {0, 200}, {200, 208}, {208, 400}, {400, 9999}};
  std::ranges::sort(ranges);
  do {
    for (std::size_t i = 0; i < ranges.size(); ++i) {
      const auto result = add(piece(packet, ranges[i].first, ranges[i].second));
      EXPECT_EQ(result.lost, 0U);
      if (i + 1 < ranges.size()) {
        EXPECT_EQ(result.outcome, Outcome::kept);
      } else {
        ASSERT_EQ(result.outcome, Outcome::complete);
        EXPECT_EQ(copy_of(result.whole), packet);
      }
    }
    reassembler_.release();
  } while (std::ranges::next_permutation(ranges).found);
}

TEST_F(ReassemblyTest, OptionsOfTheFirstFragmentAreKept) {
  const auto packet = udp()
                          .from("10.1.2.3", 53)
                          .to("100.64.0.101", 5000)
                          .dont_fragment(false)
                          .ip_options(ByteVector(8, 1))
                          .payload_size(100)
                          .build();
  (void)add(piece(packet, 48, 999));
  const auto result = add(piece(packet, 0, 48));
  ASSERT_EQ(result.outcome, Outcome::complete);
  EXPECT_EQ(copy_of(result.whole), packet);
}

TEST_F(ReassemblyTest, ThePacketsOfSeveralSendersStayApart) {
  const auto a = whole(600, 1);
  const auto b = whole(700, 2);
  (void)add(piece(a, 0, 304));
  (void)add(piece(b, 0, 304));
  EXPECT_EQ(reassembler_.waiting(), 2U);
  const auto first = add(piece(b, 304, 9999));
  ASSERT_EQ(first.outcome, Outcome::complete);
  const auto second = add(piece(a, 304, 9999));
  ASSERT_EQ(second.outcome, Outcome::complete);
  EXPECT_EQ(copy_of(first.whole), b) << "until it is released";
  EXPECT_EQ(copy_of(second.whole), a);
}

TEST_F(ReassemblyTest, OverlapsEndThePacketWithAllThatWasKept) {
  const auto packet = whole();
  for (const auto& [from, to] :
       {std::pair<std::size_t, std::size_t>{0, 200}, {192, 400}, {592, 9999}}) {
    (void)add(piece(packet, 0, 200));
    (void)add(piece(packet, 400, 600));
    const auto result = add(piece(packet, from, to));
    EXPECT_EQ(result.outcome, Outcome::overlap) << from;
    EXPECT_EQ(result.lost, 2U);
    EXPECT_EQ(reassembler_.waiting(), 0U);
  }
  (void)add(piece(packet, 400, 9999));
  EXPECT_EQ(add(piece(packet, 408, 9999)).outcome, Outcome::overlap) << "two ends";
  (void)add(piece(packet, 400, 9999));
  auto behind = piece(whole(800), 608, 704);
  EXPECT_EQ(add(behind).outcome, Outcome::overlap) << "behind the end";
  (void)add(behind);
  EXPECT_EQ(add(piece(packet, 400, 9999)).outcome, Outcome::overlap) << "an end before the rest";
}

TEST_F(ReassemblyTest, APacketOf1280BytesFitsAndALargerOneDoesNot) {
  const auto fits = whole(1252);
  (void)add(piece(fits, 0, 640));
  EXPECT_EQ(add(piece(fits, 640, 9999)).whole.size(), 1280U);
  const auto large = whole(1253);
  (void)add(piece(large, 0, 640));
  const auto result = add(piece(large, 640, 9999));
  EXPECT_EQ(result.outcome, Outcome::oversized);
  EXPECT_EQ(result.lost, 1U);
  EXPECT_EQ(reassembler_.waiting(), 0U);
  // The options of the first fragment count.
  const auto options = udp()
                           .from("10.1.2.3", 53)
                           .to("100.64.0.101", 5000)
                           .dont_fragment(false)
                           .ip_options(ByteVector(4, 1))
                           .payload_size(1252)
                           .build();
  auto end = piece(whole(1252), 640, 9999);
  (void)add(end);
  auto begin = piece(options, 0, 640);
  store_be16(begin.data() + 4, load_be16(end.data() + 4));
  EXPECT_EQ(add(begin).outcome, Outcome::oversized);
}

TEST_F(ReassemblyTest, WhatIsNotWholeAfterThirtySecondsIsLost) {
  (void)add(piece(whole(600, 1), 0, 304));
  now_ += 30s - 1ns;
  EXPECT_EQ(add(piece(whole(600, 2), 0, 304)).lost, 0U);
  now_ += 1ns;
  const auto result = add(piece(whole(600, 1), 304, 9999));
  EXPECT_EQ(result.outcome, Outcome::kept);
  EXPECT_EQ(result.lost, 1U);
  EXPECT_EQ(reassembler_.waiting(), 2U);
}

TEST_F(ReassemblyTest, WithEveryPlaceTakenTheOldestGivesWay) {
  for (std::uint16_t id = 0; id < Reassembler::kPacketsMax; ++id) {
    EXPECT_EQ(add(piece(whole(600, id), 0, 304)).lost, 0U);
    now_ += 1ms;
  }
  EXPECT_EQ(add(piece(whole(600, 999), 0, 304)).lost, 1U);
  EXPECT_EQ(reassembler_.waiting(), Reassembler::kPacketsMax);
  EXPECT_EQ(add(piece(whole(600, 1), 304, 9999)).outcome, Outcome::complete);
  EXPECT_EQ(add(piece(whole(600, 0), 304, 9999)).outcome, Outcome::kept);
}

TEST_F(ReassemblyTest, CompletePacketsAreNotOverwrittenBeforeTheirRelease) {
  for (std::uint16_t id = 0; id < Reassembler::kPacketsMax; ++id) {
    (void)add(piece(whole(600, id), 0, 304));
    EXPECT_EQ(add(piece(whole(600, id), 304, 9999)).outcome, Outcome::complete);
  }
  EXPECT_EQ(add(piece(whole(600, 999), 0, 304)).outcome, Outcome::full);
  reassembler_.release();
  EXPECT_EQ(add(piece(whole(600, 999), 0, 304)).outcome, Outcome::kept);
}

TEST_F(ReassemblyTest, LyingFragmentsAreRefused) {
  auto odd = piece(whole(), 0, 200);
  odd.pop_back();
  EXPECT_EQ(add(odd).outcome, Outcome::malformed);
  store_be16(odd.data() + 2, static_cast<std::uint16_t>(odd.size()));
  EXPECT_EQ(add(odd).outcome, Outcome::malformed) << "not a multiple of eight";
  EXPECT_EQ(add(whole()).outcome, Outcome::malformed) << "no fragment";
  EXPECT_EQ(add(ByteVector(20, 0x45)).outcome, Outcome::malformed);
  EXPECT_EQ(add({}).outcome, Outcome::malformed);
  EXPECT_EQ(reassembler_.waiting(), 0U);
}

}  // namespace
}  // namespace fg::packet
