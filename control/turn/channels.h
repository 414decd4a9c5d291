// Channel numbers of one allocation and the rules when one is usable, renewed, expired and given to
// another peer (spec connectivity 3.8). Knows no messages and no relay: the allocation above sends
// what advance() asks for.
//
//   bind ──> pending ──confirm──> confirmed ──(10 min)──> expired ──(15 min, silent)──> free for
//   another peer
//               └──remove (error)──> free                    └──bind by the same peer──> pending,
//               same number
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "base/address.h"
#include "base/ids.h"
#include "base/time.h"

namespace fg::turn {

inline constexpr std::uint16_t kChannelFirst = 0x4000;  // spec connectivity 3.8
inline constexpr std::uint16_t kChannelLast = 0x4FFF;

class Channels {
 public:
  enum class State : std::uint8_t { pending, confirmed, expired };
  struct Channel {
    ChannelNumber number{};
    SocketAddress peer;
    State state = State::pending;
    bool renewing = false;    // a CHANNEL-BIND for a confirmed channel is in flight
    Instant bound_at{};       // confirmation; while pending the creation
    Instant last_received{};  // never before bound_at of the first confirmation
  };

  // A number for the peer, pending from now on; nothing when all are taken. The peer must have no
  // usable channel.
  std::optional<ChannelNumber> bind(const SocketAddress& peer, Instant now);
  // Success of a CHANNEL-BIND.
  void confirm(ChannelNumber number, Instant now);
  void remove(ChannelNumber number);
  // Forgets all channels; the numbering goes on.
  void clear();
  // Data arrived; ignored unless confirmed.
  void received(ChannelNumber number, Instant now);

  [[nodiscard]] const Channel* find(ChannelNumber number) const;
  // The peer's channel in any state.
  [[nodiscard]] const Channel* find(const SocketAddress& peer) const;
  // To send on: confirmed, or pending (optimistic), and younger than 10 min.
  [[nodiscard]] std::optional<ChannelNumber> usable_for(const SocketAddress& peer,
                                                        Instant now) const;
  // To receive from: confirmed and younger than 10 min.
  [[nodiscard]] std::optional<SocketAddress> peer_of(ChannelNumber number, Instant now) const;

  // Everything pending or confirmed, by number.
  [[nodiscard]] std::vector<Channel> live() const;

  struct Changes {
    std::vector<Channel> expired;  // each is reported once
    std::vector<Channel> renew;    // send CHANNEL-BIND; marked as renewing
  };
  Changes advance(Instant now);
  // No later than the next expiry or renewal; may be early, never late.
  [[nodiscard]] std::optional<Instant> next() const { return next_; }

 private:
  [[nodiscard]] bool is_free(std::uint16_t number, Instant now) const;
  [[nodiscard]] std::optional<Instant> due(const Channel& channel) const;
  void note(const Channel& channel);

  std::map<ChannelNumber, Channel> by_number_;
  std::map<SocketAddress, ChannelNumber> by_peer_;
  std::uint16_t next_number_ = kChannelFirst;
  std::optional<Instant> next_;
};

}  // namespace fg::turn
