#include "packet/checksum.h"

#include <bit>

namespace fg::packet {
namespace {

// 32 bytes as four lanes; GCC and Clang lower it to what the machine has.
using Lanes = std::uint64_t __attribute__((vector_size(32)));

// Sum in native byte order, which is the sum of the big-endian words with its bytes swapped (RFC
// 1071 §2(B)).
template <bool kCopy>
Sum run(std::uint8_t* to, const std::uint8_t* p, std::size_t n) noexcept {
  Lanes low{};
  Lanes high{};
  while (n >= sizeof(Lanes)) {
    Lanes w;
    std::memcpy(&w, p, sizeof w);
    if constexpr (kCopy) {
      std::memcpy(to, &w, sizeof w);
      to += sizeof w;
    }
    low += w & 0xFFFFFFFFU;
    high += w >> 32;
    p += sizeof w;
    n -= sizeof w;
  }
  const Lanes both = low + high;  // each lane below 2^36 for 64 KiB, below 2^60 for 4 GiB
  std::uint64_t sum = both[0] + both[1] + both[2] + both[3];
  while (n >= 4) {
    std::uint32_t w = 0;
    std::memcpy(&w, p, 4);
    if constexpr (kCopy) {
      std::memcpy(to, &w, 4);
      to += 4;
    }
    sum += w;
    p += 4;
    n -= 4;
  }
  if (n > 0) {
    std::uint32_t w = 0;
    std::memcpy(&w, p, n);  // zero padded on the right in memory, as RFC 1071 asks
    if constexpr (kCopy) std::memcpy(to, p, n);
    sum += w;
  }
  sum = (sum & 0xFFFFFFFF) + (sum >> 32);
  sum = (sum & 0xFFFF) + (sum >> 16 & 0xFFFF) + (sum >> 32);
  sum = (sum & 0xFFFF) + (sum >> 16);
  sum = (sum & 0xFFFF) + (sum >> 16);
  const auto folded = static_cast<Sum>(sum);
  return std::endian::native == std::endian::little ? swapped(folded) : folded;
}

}  // namespace

Sum sum_of(Bytes data) noexcept { return run<false>(nullptr, data.data(), data.size()); }

Sum copy_and_sum(std::uint8_t* to, Bytes from) noexcept {
  return run<true>(to, from.data(), from.size());
}

Sum change_of(const IpAddress& was, const IpAddress& is) noexcept {
  return subtract(sum_of(is.bytes()), sum_of(was.bytes()));
}

Sum pseudo_header(Bytes source, Bytes destination, std::uint8_t protocol,
                  std::size_t length) noexcept {
  const auto n = static_cast<std::uint32_t>(length);
  const Sum addresses = add(sum_of(source), sum_of(destination));
  return add(addresses, add(add(static_cast<Sum>(n >> 16), static_cast<Sum>(n)), protocol));
}

}  // namespace fg::packet
