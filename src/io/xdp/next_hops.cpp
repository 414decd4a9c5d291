#include "io/xdp/next_hops.h"

#include <functional>

namespace fg::io::xdp {

NextHops::NextHops() : entries_(kNextHopsMax) {}

std::optional<NextHopQuestion> NextHops::next_question() {
  const auto* question = questions_.front();
  if (question == nullptr) return std::nullopt;
  const auto out = *question;
  questions_.pop();
  return out;
}

// Its own entry, else one that is free or of an epoch that is over; nullptr: all are in use.
NextHops::Entry* NextHops::place_of(const Destination& destination) noexcept {
  auto hash = std::hash<SocketAddress>{}(destination.to);
  hash ^= hash >> 32;
  Entry* free = nullptr;
  for (std::size_t i = 0; i < kProbes; ++i) {
    auto& entry = entries_[(hash + i) % kNextHopsMax];
    const bool is_current = entry.epoch == now_;
    if (is_current && entry.destination == destination) return &entry;
    if (!is_current && free == nullptr) free = &entry;
  }
  return free;
}

void NextHops::refresh(std::uint16_t port_v4, std::uint16_t port_v6) noexcept {
  now_ = epoch_.load(std::memory_order_acquire);
  while (const auto* answer = answers_.front()) {
    if (answer->epoch == now_) {
      auto* entry = place_of(answer->destination);
      // Who asked has a place; it is another's only in an epoch that is over.
      if (entry != nullptr && entry->epoch == now_) {
        const auto& to = answer->destination.to;
        entry->way = {answer->hop.interface,
                      FrameHeader{answer->hop, to.ip.is_v4() ? port_v4 : port_v6, to}};
        entry->is_known = true;
      }
    }
    answers_.pop();
  }
}

const NextHops::Way* NextHops::find(const OutgoingDatagrams& datagrams) noexcept {
  const Destination destination{datagrams.to, datagrams.from};
  auto* entry = place_of(destination);
  if (entry != nullptr && entry->epoch == now_) return entry->is_known ? &entry->way : nullptr;
  if (entry == nullptr || !questions_.push({destination, now_})) {
    ++crowded_;
    return nullptr;
  }
  entry->destination = destination;
  entry->epoch = now_;
  entry->is_known = false;
  has_asked_ = true;
  return nullptr;
}

}  // namespace fg::io::xdp
