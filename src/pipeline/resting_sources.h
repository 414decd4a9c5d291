// Who asks twice a minute: an idle client checks each of its paths every 25 s (spec connectivity
// 2.19), and its answer may wait until the control thread has others to give. A client that does
// something, or is new, asks again within 15 s. Behind one address and port there may be several;
// their ufrags tell them apart (USERNAME comes first in a check, 2.2). A table of fixed size that
// forgets: whoever is pushed out is answered at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/address.h"
#include "base/bytes.h"
#include "base/ids.h"
#include "base/time.h"

namespace fg::pipeline {

class RestingSources {
 public:
  static constexpr std::size_t kSlots = 16'384;
  static constexpr Duration kRestMin = 20s;
  static constexpr Duration kRestMax = 60s;

  // A STUN message came from there: whether the one before is long, but not very long ago.
  bool note(const SocketAddress& from, ChannelNumber channel, Bytes message, Instant now) noexcept {
    constexpr std::size_t kFirstAttribute = 20;
    auto hash = std::hash<SocketAddress>{}(from) ^ std::uint64_t{number(channel)} << 32;
    if (message.size() >= kFirstAttribute + 16) {
      const auto* attribute = message.data() + kFirstAttribute;
      hash = (hash ^ load_be64(attribute)) * 0xBF58476D1CE4E5B9ULL ^ load_be64(attribute + 8);
      hash ^= hash >> 29;
    }
    hash *= 0x9E3779B97F4A7C15ULL;
    auto& slot = slots_[(hash >> 32) % kSlots];
    const auto tag = static_cast<std::uint32_t>(hash);
    const auto rest = now - slot.asked;
    const bool is_resting = slot.tag == tag && rest >= kRestMin && rest <= kRestMax;
    slot = {now, tag};
    return is_resting;
  }

 private:
  struct Slot {
    Instant asked{};
    std::uint32_t tag = 0;
  };
  std::vector<Slot> slots_ = std::vector<Slot>(kSlots);
};

}  // namespace fg::pipeline
