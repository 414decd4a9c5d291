#include "pipeline/client_table.h"

#include "base/assert.h"

namespace fg::pipeline {
namespace {

// Spec connectivity 4.6, C without ICE.
constexpr wireguard::TrafficTimersConfig kIcelessTimers{.keepalive_timeout = 5s,
                                                        .rekey_timeout = 2s};

}  // namespace

// All workers' clients have two addresses each.
ClientTable::ClientTable(WorkerIndex worker, unsigned workers, std::size_t clients_max)
    : worker_(worker),
      clients_(clients_max),
      by_connection_(clients_max),
      by_address_(2 * clients_max * workers) {
  FG_ASSERT(clients_max <= kSlotMask);
}

Client* ClientTable::add(const AddClient& command) {
  const auto i = number(command.slot);
  if (i >= clients_.size()) return nullptr;
  FG_ASSERT(clients_[i] == nullptr);
  auto client = std::make_unique<Client>();
  client->slot = command.slot;
  client->tunnel_v4 = command.tunnel_v4;
  client->tunnel_v6 = command.tunnel_v6;
  client->policy = command.policy;
  client->id = command.id;
  client->grants_may_lag = command.grants_may_lag;
  client->is_iceless = command.is_iceless;
  if (command.is_iceless) client->timers = wireguard::TrafficTimers{kIcelessTimers};
  own(command.tunnel_v4, command.slot);
  own(command.tunnel_v6, command.slot);
  clients_[i] = std::move(client);
  ++size_;
  return clients_[i].get();
}

void ClientTable::remove(Client& client) {
  disown(client.tunnel_v4, client.slot);
  disown(client.tunnel_v6, client.slot);
  if (client.connection) by_connection_.erase(*client.connection);
  --size_;
  clients_[number(client.slot)].reset();
}

bool ClientTable::set_connection(Client& client, std::uint32_t connection) {
  if (client.connection == connection) return true;
  if (const auto taken = by_connection_.find(connection); taken && *taken != number(client.slot))
    return false;
  if (client.connection) by_connection_.erase(*client.connection);
  client.connection = connection;
  return by_connection_.set(connection, number(client.slot));
}

void ClientTable::own(const IpAddress& ip, ClientSlot slot) {
  if (const auto tunnel = tunnel_number(ip)) (void)by_address_.set(*tunnel, packed(slot));
}

// An address that somebody else has taken over meanwhile stays theirs (spec policy 2.2, HARDEN).
void ClientTable::disown(const IpAddress& ip, ClientSlot slot) {
  const auto tunnel = tunnel_number(ip);
  if (tunnel && by_address_.find(*tunnel) == packed(slot)) by_address_.erase(*tunnel);
}

void ClientTable::set_owner(const SetTunnelOwner& command) {
  const auto tunnel = tunnel_number(command.address);
  if (!tunnel || command.owner == worker_) return;  // own clients are known by AddClient
  if (command.owner) {
    (void)by_address_.set(*tunnel, std::uint32_t{number(*command.owner)} << kSlotBits);
    return;
  }
  const auto known = by_address_.find(*tunnel);
  if (known && *known >> kSlotBits != number(worker_)) by_address_.erase(*tunnel);
}

}  // namespace fg::pipeline
