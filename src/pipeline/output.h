// What the pipeline gives away. The runtime fills it with rings and a port, tests with vectors.
// Calls are made a batch or a rare event at a time; nothing may throw or wait.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "base/datagram.h"
#include "base/ids.h"
#include "flow/tracker.h"
#include "pipeline/commands.h"

namespace fg::pipeline {

// A packet for another worker: a WireGuard data message without channel framing, or an inner packet
// of the TUN device.
struct Handoff {
  enum class Kind : std::uint8_t { datagram, inner };
  Kind kind = Kind::datagram;
  std::uint8_t ecn = 0;  // datagram only
  std::uint16_t length = 0;
  SocketAddress local;             // datagram only
  SocketAddress from;              // datagram only
  std::optional<RelaySlot> relay;  // datagram only: it came on this channel of the relay
  ChannelNumber channel{};
  std::array<std::uint8_t, 1600> bytes{};
};

class Output : public flow::Sink {
 public:
  // The bytes stay until the call returns.
  virtual void write_tun(const TunWrite& packet) noexcept = 0;
  virtual void transmit(std::span<const OutgoingDatagrams> batch) noexcept = 0;

  // A place to fill; nullptr when the ring is full. Visible to the other side after publish(),
  // which wakes it, or after a while if all that is new can wait.
  [[nodiscard]] virtual Event* reserve_event(bool can_wait) noexcept = 0;
  [[nodiscard]] virtual Punt* reserve_punt(PuntClass punt_class) noexcept = 0;
  [[nodiscard]] virtual Handoff* reserve_handoff(WorkerIndex to) noexcept = 0;
  // By default nobody keeps records of flows.
  [[nodiscard]] flow::Event* reserve_flow_event() noexcept override { return nullptr; }
  virtual void publish() noexcept = 0;
};

}  // namespace fg::pipeline
