#include "control/dns/forwarder.h"

#include "base/assert.h"

namespace fg::dns {

void Forwarder::set_servers(std::vector<SocketAddress> servers, Instant now) {
  last_now_ = now;
  for (auto at = exchanges_.begin(); at != exchanges_.end();) {
    const auto exchange = at++;
    if (std::holds_alternative<NameServers::Probe>(exchange->second.purpose)) end(exchange);
  }
  servers_.set(std::move(servers), now);
  begin_probes(now);
}

std::optional<ExchangeId> Forwarder::on_query(Transport transport, const IpAddress& client,
                                              Bytes message, Instant now) {
  last_now_ = now;
  // Before anything is done with it: a flood costs little.
  auto* asker = asker_of(client, now);
  if (asker == nullptr || !asker->queries.take(now)) {
    drops_.count(DropReason::dns_queries_limited);
    return std::nullopt;
  }
  const auto query = parse_query(message);
  if (!query) {
    drops_.count(DropReason::dns_malformed_query);
    return std::nullopt;
  }
  const auto server = servers_.best(transport);
  const bool is_full = forwards_ >= kForwardsMax || asker->in_flight >= kForwardsClientMax;
  if (is_full || !server) {
    drops_.count(is_full ? DropReason::dns_queries_full : DropReason::dns_unanswered);
    const ExchangeId id{next_id_++};
    answer(id, transport, server_failure(message));
    return id;
  }
  ++forwards_;
  ++asker->in_flight;
  return begin(
      {Asked{client, query->id}, transport, *server, copy_of(message), now + kForwardTimeout});
}

void Forwarder::on_message(ExchangeId id, const SocketAddress& from, Bytes message, Instant now) {
  last_now_ = now;
  const auto at = exchanges_.find(id);
  if (at == exchanges_.end()) return;
  const auto& pending = at->second;
  const auto query = Message::parse(pending.message);
  FG_ASSERT(query);
  const auto reply = Message::parse(message);
  if (from != pending.server || !reply || !is_answer_to(*reply, *query)) {
    drops_.count(DropReason::dns_foreign_answer);
    // A stream carries this exchange only: nothing better will come.
    if (pending.transport == Transport::tcp) fail(at);
    return;
  }
  if (const auto* probe = std::get_if<NameServers::Probe>(&pending.purpose)) {
    servers_.on_probed(*probe, reply->rcode == kNoError);
  } else {
    auto out = copy_of(message);
    set_id(out, std::get<Asked>(pending.purpose).id);
    answer(id, pending.transport, std::move(out));
  }
  end(at);
}

void Forwarder::on_failure(ExchangeId id, Instant now) {
  last_now_ = now;
  if (const auto at = exchanges_.find(id); at != exchanges_.end()) fail(at);
}

void Forwarder::abandon(ExchangeId id) {
  std::erase_if(answers_, [id](const Answer& answer) { return answer.id == id; });
  if (const auto at = exchanges_.find(id); at != exchanges_.end()) end(at);
}

void Forwarder::on_timeout(Instant now) {
  last_now_ = now;
  while (!deadlines_.empty() && deadlines_.begin()->first <= now)
    fail(exchanges_.find(deadlines_.begin()->second));
  servers_.on_timeout(now);
  begin_probes(now);
}

// Null: all places are taken by others who ask now.
Forwarder::Asker* Forwarder::asker_of(const IpAddress& client, Instant now) {
  const auto known = askers_.find(client);
  if (known != askers_.end()) return &known->second;
  if (askers_.size() >= kAskersMax) {
    std::erase_if(askers_, [now](const auto& one) {
      return one.second.in_flight == 0 && one.second.queries.is_full(now);
    });
    if (askers_.size() >= kAskersMax) return nullptr;
  }
  return &askers_[client];
}

ExchangeId Forwarder::begin(Pending pending) {
  const ExchangeId id{next_id_++};
  set_id(pending.message, static_cast<std::uint16_t>(random_.u32()));
  started_.push_back({id, pending.transport, pending.server, pending.message});
  deadlines_.emplace(pending.deadline, id);
  exchanges_.emplace(id, std::move(pending));
  return id;
}

void Forwarder::end(Exchanges::iterator at) {
  const auto id = at->first;
  const auto& pending = at->second;
  if (const auto* asked = std::get_if<Asked>(&pending.purpose)) {
    --forwards_;
    --askers_.find(asked->client)->second.in_flight;
  }
  deadlines_.erase({pending.deadline, id});
  // Perhaps nobody has begun it yet.
  if (std::erase_if(started_, [id](const Exchange& e) { return e.id == id; }) == 0)
    over_.push_back(id);
  exchanges_.erase(at);
}

void Forwarder::fail(Exchanges::iterator at) {
  auto& pending = at->second;
  if (const auto* probe = std::get_if<NameServers::Probe>(&pending.purpose)) {
    servers_.on_probed(*probe, false);
  } else {
    drops_.count(DropReason::dns_unanswered);
    servers_.on_query_failed();
    set_id(pending.message, std::get<Asked>(pending.purpose).id);
    answer(at->first, pending.transport, server_failure(pending.message));
  }
  end(at);
}

void Forwarder::answer(ExchangeId id, Transport transport, ByteVector message) {
  if (transport == Transport::udp && message.size() > kUdpReplyMax) message = truncated(message);
  answers_.push_back({id, std::move(message)});
}

void Forwarder::begin_probes(Instant now) {
  while (const auto probe = servers_.poll_probe()) {
    begin({*probe, probe->transport, probe->server, address_query(0, kProbedName),
           now + kProbeTimeout});
  }
}

std::optional<Forwarder::Exchange> Forwarder::poll_exchange() {
  if (started_.empty()) return std::nullopt;
  auto out = std::move(started_.front());
  started_.pop_front();
  return out;
}

std::optional<Forwarder::Answer> Forwarder::poll_answer() {
  if (answers_.empty()) return std::nullopt;
  auto out = std::move(answers_.front());
  answers_.pop_front();
  return out;
}

std::optional<ExchangeId> Forwarder::poll_over() {
  if (over_.empty()) return std::nullopt;
  const auto out = over_.front();
  over_.pop_front();
  return out;
}

std::optional<Wakeup> Forwarder::wakeup() const {
  if (!started_.empty() || !answers_.empty() || !over_.empty())
    return Wakeup{last_now_, "queries and answers to pass on"};
  std::optional<Wakeup> out = servers_.wakeup();
  if (!deadlines_.empty())
    out = earlier(out, Wakeup{deadlines_.begin()->first, "name server gives no answer"});
  return out;
}

}  // namespace fg::dns
