// As much of a TURN server as a gateway needs to learn its addresses and to believe it has a relay
// (spec connectivity 7.3). It relays nothing: clients of the swarm are reached directly.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/address.h"
#include "base/bytes.h"
#include "base/secret.h"

namespace fg::swarm {

class Relay {
 public:
  static constexpr std::uint16_t kPort = 3478;  // spec connectivity 1.3
  static constexpr const char* kUsername = "2145916800:swarm";
  static constexpr const char* kPassword = "not-a-secret-of-anybody";

  // How often what was answered.
  struct Counts {
    std::uint64_t bindings = 0;
    std::uint64_t challenges = 0;
    std::uint64_t allocations = 0;
    std::uint64_t channels = 0;
  };

  explicit Relay(const IpAddress& address) : address_(address) {}
  [[nodiscard]] std::optional<ByteVector> answer(Bytes datagram, const SocketAddress& from);
  [[nodiscard]] const Counts& counts() const { return counts_; }

 private:
  IpAddress address_;
  Counts counts_;
};

}  // namespace fg::swarm
