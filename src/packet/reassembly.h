// IPv4 fragments towards clients become the packets they were, if those fit a tunnel (spec
// policy 0.4 item 4, REC): clients take no fragments. A fixed number at a time; the oldest gives
// way. Overlapping fragments end their packet, none of it is trusted (RFC 5722's rule, for IPv4
// too). IPv6 fragments are the sender's to avoid.
#pragma once

#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/address.h"
#include "base/bytes.h"
#include "base/time.h"
#include "packet/buffer.h"

namespace fg::packet {

class Reassembler {
 public:
  static constexpr std::size_t kPacketsMax = 64;
  static constexpr Duration kLifetime = 30s;  // RFC 791 §3.2: the lower bound of 15 s, doubled

  enum class Outcome : std::uint8_t {
    kept,
    complete,   // `whole` is the packet, until release()
    malformed,  // no IPv4 fragment, or its lengths lie
    overlap,
    oversized,  // the packet would be larger than 1280 bytes
    full,       // every place holds a complete packet
  };
  struct Result {
    Outcome outcome = Outcome::malformed;
    MutableBytes whole;
    // Fragments kept before that are lost with this call: of this packet, of those that were too
    // old, of the one that gave way.
    std::size_t lost = 0;
  };
  [[nodiscard]] Result add(Bytes fragment, Instant now) noexcept;
  // Complete packets are no longer needed.
  void release() noexcept;

  [[nodiscard]] std::size_t waiting() const noexcept;

 private:
  static constexpr std::size_t kUnits = kPacketMax / 8;
  static constexpr std::size_t kHeaderMax = 60;

  struct Key {
    IpAddress source;
    IpAddress destination;
    std::uint16_t id = 0;
    std::uint8_t protocol = 0;
    friend bool operator==(const Key&, const Key&) = default;
  };
  enum class State : std::uint8_t { empty, waiting, complete };
  struct Entry {
    State state = State::empty;
    Key key;
    Instant began{};
    std::size_t fragments = 0;
    std::bitset<kUnits> units;
    std::size_t header = 0;           // length; 0: the first fragment is not here yet
    std::optional<std::size_t> size;  // of the payload, when the last fragment is here
    // Payload from kHeaderMax on, the header right before it.
    std::array<std::uint8_t, kHeaderMax + kPacketMax> bytes{};
  };

  [[nodiscard]] Entry* place_for(const Key& key, Instant now, std::size_t& lost) noexcept;
  static std::size_t give_up(Entry& entry) noexcept;
  static MutableBytes finish(Entry& entry) noexcept;

  std::array<Entry, kPacketsMax> entries_{};
};

}  // namespace fg::packet
