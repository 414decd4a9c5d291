// The clients of one worker, found by slot (commands), by connection (datagrams) and by tunnel
// address (packets of the TUN device). The address table also knows which addresses other workers
// own. Changed by commands only.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/ids.h"
#include "base/token_bucket.h"
#include "nat/flow_table.h"
#include "nat/silence.h"
#include "nat/translations.h"
#include "pipeline/answer_limit.h"
#include "pipeline/commands.h"
#include "pipeline/index_map.h"
#include "pipeline/traffic.h"
#include "pipeline/transmit_batcher.h"
#include "pipeline/tunnel_address.h"
#include "wireguard/session.h"
#include "wireguard/traffic_timers.h"

namespace fg::pipeline {

// Destinations a client was refused lately, for those whose packets overtake their grants: a client
// of generation A sends at once when it has asked for one more resource, and the grant takes the
// way over the portal (spec portal 5.3). A refusal answered then would end its TCP connection
// before it was allowed, so the first refusals of a destination are silent; whoever repeats itself
// later is answered.
class LaggingGrants {
 public:
  static constexpr Duration kSilence = 500ms;
  static constexpr Duration kMemory = 10s;

  [[nodiscard]] bool is_silent(const IpAddress& destination, Instant now) noexcept {
    for (auto& entry : entries_) {
      if (entry.destination != destination) continue;
      const auto age = now - entry.first;
      if (age > kMemory) entry.first = now;
      return age <= kSilence || age > kMemory;
    }
    entries_[next_++ % entries_.size()] = {destination, now};
    return true;
  }

 private:
  struct Entry {
    IpAddress destination;
    Instant first{};
  };
  std::array<Entry, 8> entries_{};
  std::size_t next_ = 0;
};

// What the control thread was last told of the ways a client's data comes (RouteActivity).
class RouteReports {
 public:
  static constexpr Duration kInterval = 2s;
  static constexpr Duration kElsewhereInterval = 250ms;

  // Data came by another way than the one in use, from this sender on this channel, or by the one
  // in use.
  [[nodiscard]] bool take_elsewhere(const SocketAddress& from, ChannelNumber channel,
                                    Instant now) noexcept {
    const bool is_last = from == last_from_ && channel == last_channel_;
    const auto interval = is_last ? kInterval : kElsewhereInterval;
    if (elsewhere_at_ && now < *elsewhere_at_ + interval) return false;
    elsewhere_at_ = now;
    last_from_ = from;
    last_channel_ = channel;
    return true;
  }
  [[nodiscard]] bool take_in_use(Instant now) noexcept {
    if (in_use_at_ && now < *in_use_at_ + kInterval) return false;
    in_use_at_ = now;
    return true;
  }
  void reset() noexcept { *this = {}; }

 private:
  std::optional<Instant> in_use_at_;
  std::optional<Instant> elsewhere_at_;
  SocketAddress last_from_;
  ChannelNumber last_channel_{};
};

struct alignas(64) Client {
  // Several times what fifty pairs probed at once by both sides need.
  static constexpr Duration kProbeInterval = 2ms;
  static constexpr int kProbeBurst = 512;

  // What packets touch comes first, line by line: first what both directions do.
  ClientSlot slot{};
  bool grants_may_lag = false;
  bool is_iceless = false;
  bool is_route_asked = false;
  bool touched = false;  // its deadlines may have come nearer in the running batch
  const filter::Policy* policy = nullptr;
  const nat::Translations* translations = nullptr;  // none: no proxy address is translated
  std::unique_ptr<nat::FlowTable> flows;            // from the first translated packet on
  Instant quiet_until = Instant::min();             // no ClientActivity before
  wireguard::SessionRing sessions;
  wireguard::TrafficTimers timers;
  Traffic traffic;
  Instant armed = Instant::max();  // its place among the deadlines
  TransmitBatcher::Mark mark;
  IpAddress tunnel_v4;
  Path path;
  IpAddress tunnel_v6;

  ClientId id;
  std::optional<std::uint32_t> connection;  // of its receiver indices, pipeline/commands.h
  RouteReports routes;
  TokenBucket probes{kProbeInterval, kProbeBurst};
  LaggingGrants lagging;
  AnswerLimit answers;
  std::unique_ptr<nat::SilenceWatch> silence;  // of translations that ask for it

  void prefetch() const noexcept { prefetch_until(&tunnel_v6); }
  [[nodiscard]] bool owns(const IpAddress& ip) const noexcept {
    return ip == (ip.is_v4() ? tunnel_v4 : tunnel_v6);
  }

 private:
  void prefetch_until(const void* end) const noexcept {
    const void* begin = this;
    for (const auto* at = static_cast<const std::uint8_t*>(begin); at < end; at += 64)
      __builtin_prefetch(at, 1);
  }
};

class ClientTable {
 public:
  ClientTable(WorkerIndex worker, unsigned workers, std::size_t clients_max);

  [[nodiscard]] std::size_t clients_max() const { return clients_.size(); }
  [[nodiscard]] std::size_t size() const { return size_; }

  // nullptr when the slot is out of range. A slot in use is the caller's to remove first.
  Client* add(const AddClient& command);
  void remove(Client& client);
  // Receiver indices of this connection mean this client from here on, and those of its earlier
  // connection nothing.
  bool set_connection(Client& client, std::uint32_t connection);
  void set_owner(const SetTunnelOwner& command);

  [[nodiscard]] Client* get(ClientSlot slot) noexcept {
    const auto i = number(slot);
    return i < clients_.size() ? clients_[i].get() : nullptr;
  }
  void prefetch_connection(std::uint32_t connection) const noexcept {
    by_connection_.prefetch(connection);
  }
  [[nodiscard]] Client* by_connection(std::uint32_t connection) noexcept {
    const auto slot = by_connection_.find(connection);
    return slot ? clients_[*slot].get() : nullptr;
  }

  struct Owner {
    WorkerIndex worker{};
    Client* client = nullptr;  // none when another worker's
  };
  void prefetch_address(std::uint32_t tunnel) const noexcept { by_address_.prefetch(tunnel); }
  // By tunnel_number().
  [[nodiscard]] std::optional<Owner> owner_of(std::uint32_t tunnel) noexcept {
    const auto packed = by_address_.find(tunnel);
    if (!packed) return std::nullopt;
    const WorkerIndex worker{static_cast<std::uint8_t>(*packed >> kSlotBits)};
    return Owner{worker, worker == worker_ ? clients_[*packed & kSlotMask].get() : nullptr};
  }

 private:
  static constexpr unsigned kSlotBits = 24;
  static constexpr std::uint32_t kSlotMask = (1U << kSlotBits) - 1;

  [[nodiscard]] std::uint32_t packed(ClientSlot slot) const {
    return std::uint32_t{number(worker_)} << kSlotBits | number(slot);
  }
  void own(const IpAddress& ip, ClientSlot slot);
  void disown(const IpAddress& ip, ClientSlot slot);

  WorkerIndex worker_;
  std::vector<std::unique_ptr<Client>> clients_;
  std::size_t size_ = 0;
  IndexMap by_connection_;
  IndexMap by_address_;
};

}  // namespace fg::pipeline
