// The smallest packet of a kind, so that whoever explains a verdict asks the very functions that
// packets are put to. Checksums are left out: nothing that judges a packet looks at them.
#pragma once

#include <array>
#include <cstdint>

#include "base/address.h"
#include "base/bytes.h"
#include "filter/policy.h"
#include "packet/inner.h"

namespace fg::controller {

class SamplePacket {
 public:
  // Addresses of one family, or parsed() is malformed. `port`: destination port, ICMP type of
  // icmp_other, protocol number of other_ip.
  SamplePacket(const IpAddress& source, const IpAddress& destination, filter::ProtoKind kind,
               std::uint16_t port);

  [[nodiscard]] Result<packet::InnerPacket, DropReason> parsed() const {
    return packet::InnerPacket::parse(Bytes{bytes_}.first(size_));
  }

 private:
  std::array<std::uint8_t, 64> bytes_{};
  std::size_t size_ = 0;
};

}  // namespace fg::controller
