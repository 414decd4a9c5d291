#include "pipeline/pipeline.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "base/assert.h"

namespace fg::pipeline {

Pipeline::Pipeline(const PipelineOptions& options, crypto::AeadEngine& engine, Output& output)
    : options_(options),
      engine_(engine),
      output_(output),
      tracker_(output, options.seed),
      flow_store_(options.seed),
      clients_(options.worker, options.workers, options.clients_max),
      coalescer_(options.offloads),
      deadlines_(options.clients_max) {
  FG_ASSERT(options.workers >= 1 && options.workers <= kWorkersMax);
  touched_.reserve(options.clients_max);
}

void Pipeline::apply(Command&& command, Instant now) {
  last_now_ = now;
  std::visit([&](auto& c) { on_command(c, now); }, command);
}

void Pipeline::on_command(const AddClient& command, Instant) {
  if (auto* old = clients_.get(command.slot)) {
    FG_BUG("client slot in use");
    remove_client(*old);
  }
  if (auto* client = clients_.add(command)) {
    client->flows = kept_flows_.take(command.tunnel_v4, command.tunnel_v6);
    arm(*client);
    return;
  }
  report(PolicyRetired{command.policy}, true);
  report(ClientRemoved{command.slot}, true);
}

void Pipeline::remove_client(Client& client) {
  report(PolicyRetired{client.policy}, true);
  if (client.translations != nullptr) report(TranslationsRetired{client.translations}, true);
  report(ClientRemoved{client.slot}, true);
  deadlines_.disarm(number(client.slot));
  if (client.touched) std::erase(touched_, &client);
  clients_.remove(client);
}

void Pipeline::on_command(const RemoveClient& command, Instant) {
  auto* client = clients_.get(command.slot);
  if (client == nullptr) return;
  if (command.keep_flows)
    kept_flows_.keep(client->tunnel_v4, client->tunnel_v6, std::move(client->flows));
  remove_client(*client);
}

void Pipeline::on_command(const ForgetFlows& command, Instant) {
  kept_flows_.forget(command.tunnel_v4);
}

void Pipeline::on_command(const SetPolicy& command, Instant) {
  auto* client = clients_.get(command.slot);
  if (client == nullptr) {
    report(PolicyRetired{command.policy}, true);
    return;
  }
  report(PolicyRetired{std::exchange(client->policy, command.policy)}, true);
}

void Pipeline::on_command(const SetTranslations& command, Instant now) {
  auto* client = clients_.get(command.slot);
  if (client != nullptr) {
    const auto* next = command.translations;
    auto watch = next != nullptr && next->watches_silence()
                     ? std::make_unique<nat::SilenceWatch>(*next, now, client->silence.get())
                     : nullptr;
    client->silence = std::move(watch);
    arm(*client);
  }
  if (command.translations != nullptr && !has_names_) {
    has_names_ = true;
    while (!flow_store_.is_full()) flow_store_.refill();
  }
  const auto* retired = client != nullptr
                            ? std::exchange(client->translations, command.translations)
                            : command.translations;
  if (retired != nullptr) report(TranslationsRetired{retired}, true);
  if (client != nullptr && command.forget_flows) client->flows.reset();
}

void Pipeline::on_command(const SetPath& command, Instant) {
  auto* client = clients_.get(command.slot);
  if (client == nullptr) return;
  client->path = command.path;
  client->mark.forget();
}

void Pipeline::on_command(InstallSession& command, Instant now) {
  auto* client = clients_.get(command.slot);
  if (client == nullptr) return;
  const auto index = command.keys.local_index;
  const auto role = command.keys.role;
  const auto established = command.keys.established;
  // A connection that replaces another one starts afresh (spec connectivity 4.5).
  if (client->connection && *client->connection != connection_of(index)) client->sessions.clear();
  if (worker_of(index) != options_.worker ||
      !clients_.set_connection(*client, connection_of(index))) {
    FG_BUG("receiver index of another worker or client");
    return;
  }
  client->sessions.install(std::move(command.keys), engine_);
  client->routes.reset();  // whether data follows a handshake matters (spec connectivity 5.8)
  if (role == wireguard::Role::initiator) {
    client->timers.on_session(role, established, now);
    (void)send_keepalive(*client, now);  // confirms the keys to the responder (whitepaper §6.5)
    report(SessionConfirmed{client->slot, index}, true);
  }
  arm(*client);
}

void Pipeline::on_command(const SendInner& command, Instant now) {
  Counters::add(counters_.generated);
  auto* client = clients_.get(command.slot);
  if (client == nullptr) {
    drop(DropReason::not_connected);
    return;
  }
  (void)send_inner(
      *client, Bytes{command.bytes}.first(std::min<std::size_t>(command.length, kInnerPacketMax)),
      now);
}

void Pipeline::on_command(const SetRelay& command, Instant) {
  relays_.set_server(command.relay, command.server);
}
// Without room the control thread goes on answering.
void Pipeline::on_command(SetStandingAnswer& command, Instant) {
  if (!standing_answers_.set(std::move(command))) Counters::add(counters_.answers_refused);
}
void Pipeline::on_command(const DropStandingAnswers& command, Instant) {
  standing_answers_.drop(command.connection);
}
void Pipeline::on_command(const AskRoute& command, Instant) {
  if (auto* client = clients_.get(command.slot)) client->is_route_asked = true;
}

void Pipeline::on_command(const SetChannel& command, Instant) {
  relays_.set_channel(command.relay, command.channel, command.usable);
}
void Pipeline::on_command(const SetTunnelOwner& command, Instant) { clients_.set_owner(command); }
void Pipeline::on_command(const SetGatewayAddresses& command, Instant) {
  gateway_v4_ = command.v4;
  gateway_v6_ = command.v6;
}
void Pipeline::on_command(const ExpectSource& command, Instant) { expected_.add(command.address); }
void Pipeline::on_command(const SetFlowTracking& command, Instant now) {
  tracker_.set(command.is_on, now);
}

void Pipeline::on_command(const ReadTraffic& command, Instant) {
  for (auto& line : command.page->lines) {
    const auto* client = clients_.get(line.slot);
    line.is_known = client != nullptr;
    if (client == nullptr) continue;
    line.traffic = client->traffic;
    line.traffic.flows = client->flows != nullptr ? client->flows->size() : 0;
  }
  report(TrafficRead{command.page}, true);
}

void Pipeline::on_timeout(Instant now) noexcept {
  last_now_ = now;
  while (const auto slot = deadlines_.pop_due(now)) {
    auto& client = *clients_.get(ClientSlot{*slot});
    client.armed = Instant::max();
    const auto due = client.timers.poll(now);
    if (due.send_keepalive) (void)send_keepalive(client, now);
    const auto* current = client.sessions.current();
    if (due.handshake || (current != nullptr && current->has_many_messages())) {
      const auto why =
          due.nothing_heard ? HandshakeNeeded::Why::nothing_heard : HandshakeNeeded::Why::rekey_due;
      report(HandshakeNeeded{client.slot, why}, true);
    }
    client.sessions.expire(now);
    if (client.flows != nullptr) sweep_translation(client, now);
    arm(client);
  }
  if (has_names_) flow_store_.refill();
  tracker_.on_timeout(now);
  finish(now);
}

std::optional<Wakeup> Pipeline::wakeup() const {
  if (!batcher_.is_empty() || arrivals_used_ != 0 || held_used_ != 0 || unpublished_ ||
      !touched_.empty()) {
    return Wakeup{last_now_, "output is queued"};
  }
  if (has_names_ && !flow_store_.is_full())
    return Wakeup{last_now_, "room for translated flows is to be made"};
  std::optional<Wakeup> at;
  // Taken up again soon when the control thread was too slow for its events.
  if (!pending_events_.empty()) at = Wakeup{last_now_ + 1ms, "events wait for their ring"};
  if (const auto next = deadlines_.next())
    at = earlier(at, Wakeup{*next, "a client's WireGuard timer"});
  return earlier(at, tracker_.wakeup());
}

void Pipeline::touch(Client& client) noexcept {
  if (client.touched) return;
  client.touched = true;
  touched_.push_back(&client);
}

void Pipeline::arm(Client& client) noexcept {
  if (const auto expiry = client.sessions.next_expiry()) arm_until(client, *expiry);
  arm_after_packets(client);
}

// Sessions come by commands only.
void Pipeline::arm_after_packets(Client& client) noexcept {
  auto at = client.timers.next();
  if (client.flows != nullptr) {
    at = std::min(at, client.flows->next_sweep().value_or(at));
    if (client.silence != nullptr) at = std::min(at, client.silence->next_sweep().value_or(at));
  }
  arm_until(client, at);
}

void Pipeline::arm_until(Client& client, Instant at) noexcept {
  if (at >= client.armed) return;
  client.armed = at;
  deadlines_.arm(number(client.slot), at);
}

void Pipeline::arm_touched() noexcept {
  for (auto* client : touched_) {
    client->touched = false;
    arm_after_packets(*client);
  }
  touched_.clear();
}

void Pipeline::note_activity(Client& client, Instant now) noexcept {
  if (now < client.quiet_until) return;
  const bool is_known = now < client.quiet_until + kActivityKnown;
  client.quiet_until = now + kActivityInterval;
  report(ClientActivity{client.slot}, false, is_known);
}

void Pipeline::report(Event event, bool essential, bool can_wait) noexcept {
  if (pending_events_.empty()) {
    if (auto* place = output_.reserve_event(can_wait)) {
      *place = event;
      unpublished_ = true;
      return;
    }
  }
  if (essential && pending_events_.size() < kPendingEventsMax)
    pending_events_.push_back(event);
  else
    Counters::add(counters_.events_lost);
}

void Pipeline::flush_tun() noexcept {
  coalescer_.flush([this](const packet::Aggregate& aggregate) {
    TunWrite write;
    aggregate.header.store(write.header.data());
    write.parts = aggregate.parts;
    write.packets = aggregate.packets;
    Counters::add(counters_.to_resources, aggregate.packets);
    output_.write_tun(write);
  });
}

void Pipeline::flush_transmit() noexcept {
  if (!batcher_.is_empty()) output_.transmit(batcher_.take());
}

void Pipeline::flush(Instant now) noexcept {
  last_now_ = now;
  if (arrivals_used_ != 0) run_arrivals(now);
  flush_tun();
  held_used_ = 0;
  finish(now);
}

void Pipeline::finish(Instant) noexcept {
  flush_transmit();
  arm_touched();
  std::size_t reported = 0;
  while (reported < pending_events_.size()) {
    auto* place = output_.reserve_event(false);
    if (place == nullptr) break;
    *place = pending_events_[reported++];
    unpublished_ = true;
  }
  if (reported != 0)
    pending_events_.erase(pending_events_.begin(),
                          pending_events_.begin() + static_cast<std::ptrdiff_t>(reported));
  if (tracker_.take_reported() || unpublished_) output_.publish();
  unpublished_ = false;
}

}  // namespace fg::pipeline
