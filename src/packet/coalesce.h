// Joins packets of a burst that belong together into super-packets for one write to the TUN device
// each (performance guide 6.2: the kernel's own GRO rules plus what the vnet header can express).
// Packets stay where they are: only the first packet's headers are patched, payloads are referred
// to. Order within a flow is kept; there is no timer, the burst is the window. A super-packet the
// kernel refuses can be gathered into one buffer and split again with packet/segment.h.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "packet/inner.h"
#include "packet/vnet_header.h"

namespace fg::packet {

// One write: header, then the parts in order. parts[0] begins with the IP header.
struct Aggregate {
  VnetHeader header;
  std::span<const Bytes> parts;
  std::size_t packets = 0;
  std::size_t size = 0;  // sum of the parts
};

class Coalescer {
 public:
  static constexpr std::size_t kBurstMax = 1024;
  static constexpr std::size_t kSlots = 64;
  static constexpr std::size_t kUdpSegmentsMax = 64;  // UDP_MAX_SEGMENTS of kernels before 6.9
  static constexpr std::size_t kPartsMax = 1023;      // IOV_MAX less the vnet header

  struct Offloads {
    bool tcp = true;
    bool udp = true;
  };
  explicit Coalescer(Offloads offloads);

  // When the device refused a kind of super-packet at run time.
  void set_offloads(Offloads offloads) noexcept { offloads_ = offloads; }
  [[nodiscard]] Offloads offloads() const noexcept { return offloads_; }

  // Takes an accepted inner packet; its bytes must stay until flush() and may be changed. Its
  // flow and offsets are taken from `parsed`, everything else from the bytes. False when the burst
  // is full: flush first.
  bool add(MutableBytes packet, const InnerPacket& parsed) noexcept;
  bool add(MutableBytes packet) noexcept;

  [[nodiscard]] std::size_t packets() const noexcept { return entries_used_; }

  // Calls visit(const Aggregate&) for each, in the order of their first packets, and is empty
  // afterwards. What an Aggregate refers to is valid during the call only.
  template <class Visitor>
  void flush(Visitor&& visit) noexcept {
    for (std::size_t i = 0; i < groups_used_; ++i) visit(gather(groups_[i]));
    reset();
  }

 private:
  static constexpr std::uint16_t kNone = 0xFFFF;

  enum class Append : std::uint8_t { refused, appended, appended_last };

  struct Entry {
    std::uint8_t* data = nullptr;
    std::uint16_t size = 0;
    std::uint16_t payload = 0;  // offset
    std::uint16_t next = kNone;
  };
  struct Group {
    std::uint16_t first = kNone;
    std::uint16_t last = kNone;
    std::uint16_t packets = 1;
    std::uint16_t transport = 0;     // offset
    std::uint16_t payload_size = 0;  // of the first packet: the GSO size
    std::uint8_t protocol = 0;
    bool verified = false;  // checksums of the first packet
    bool push = false;
    std::uint32_t size = 0;  // of the IP packet as a whole
    std::uint32_t next_sequence = 0;
  };

  [[nodiscard]] bool may_join(const Entry& entry, const InnerPacket& parsed) const noexcept;
  Append try_append(Group& group, std::uint16_t index) noexcept;
  std::uint16_t open_group(std::uint16_t index, std::uint16_t transport,
                           std::uint8_t protocol) noexcept;
  Aggregate gather(const Group& group) noexcept;
  void reset() noexcept;

  Offloads offloads_;
  std::vector<Entry> entries_;
  std::vector<Group> groups_;
  std::vector<Bytes> parts_;
  std::array<std::uint16_t, kSlots> slots_{};  // open group of a flow hash
  std::size_t entries_used_ = 0;
  std::size_t groups_used_ = 0;
};

}  // namespace fg::packet
