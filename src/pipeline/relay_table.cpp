#include "pipeline/relay_table.h"

#include <algorithm>

namespace fg::pipeline {

void RelayTable::set_server(RelaySlot slot, const std::optional<SocketAddress>& server) {
  const auto known =
      std::ranges::find_if(entries_, [&](const Entry& e) { return e.relay->slot() == slot; });
  if (known != entries_.end() && server && known->server == *server) return;
  if (known != entries_.end()) entries_.erase(known);
  if (server) entries_.push_back({*server, std::make_unique<Relay>(slot)});
}

void RelayTable::set_channel(RelaySlot slot, ChannelNumber channel, bool usable) {
  const auto i = static_cast<std::size_t>(number(channel)) - kFirstChannel;
  if (i >= kChannels) return;
  for (auto& entry : entries_) {
    if (entry.relay->slot() == slot) entry.relay->channels_[i] = {Instant::min(), usable};
  }
}

}  // namespace fg::pipeline
