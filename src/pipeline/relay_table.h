// The relays whose channels carry clients' data: by server socket, and which of their channels are
// usable (spec connectivity 3.8, receive side).
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/address.h"
#include "base/ids.h"
#include "base/time.h"

namespace fg::pipeline {

class RelayTable {
 public:
  static constexpr std::uint16_t kFirstChannel = 0x4000;  // spec connectivity 3.8: 0x4000-0x4FFF
  static constexpr std::size_t kChannels = 0x1000;
  // pipeline/commands.h: ChannelActivity
  static constexpr Duration kActivityInterval = 5s;
  static constexpr Duration kHeardInterval = 250ms;

  class Relay {
   public:
    explicit Relay(RelaySlot slot) : slot_(slot) {}
    [[nodiscard]] RelaySlot slot() const { return slot_; }
    [[nodiscard]] bool is_usable(ChannelNumber channel) const noexcept {
      const auto i = static_cast<std::size_t>(number(channel)) - kFirstChannel;
      return i < kChannels && channels_[i].usable;
    }
    // Data came on a usable channel: whether that is to be reported.
    [[nodiscard]] bool mark_active(ChannelNumber channel, Instant now) noexcept {
      auto& c = channels_[number(channel) - std::size_t{kFirstChannel}];
      if (now < c.quiet_until && now < heard_until_) return false;
      c.quiet_until = now + kActivityInterval;
      heard_until_ = now + kHeardInterval;
      return true;
    }

   private:
    friend class RelayTable;
    struct Channel {
      Instant quiet_until = Instant::min();
      bool usable = false;
    };
    RelaySlot slot_;
    Instant heard_until_ = Instant::min();
    std::array<Channel, kChannels> channels_{};
  };

  // Moving a relay to another server socket forgets its channels.
  void set_server(RelaySlot slot, const std::optional<SocketAddress>& server);
  // Of a relay in use; ignored for others and for numbers out of range.
  void set_channel(RelaySlot slot, ChannelNumber channel, bool usable);

  [[nodiscard]] Relay* find(const SocketAddress& from) noexcept {
    for (auto& entry : entries_) {
      if (entry.server == from) return entry.relay.get();
    }
    return nullptr;
  }

 private:
  struct Entry {
    SocketAddress server;
    std::unique_ptr<Relay> relay;
  };
  std::vector<Entry> entries_;  // few: those in use
};

}  // namespace fg::pipeline
