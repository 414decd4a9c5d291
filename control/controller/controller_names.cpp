// Names of DNS resources: what clients announce inside their tunnel, its lookup, and what the
// workers are told of it (spec policy 4.4 to 4.6).
#include <utility>

#include "control/controller/controller.h"
#include "packet/control_message.h"

namespace fg::controller {
namespace {

// Compiling all names of a client at each of its announcements would cost the square of their
// number. With more proxies than these, this long is waited for each before it is done again.
constexpr std::size_t kPromptProxies = 256;
constexpr Duration kPerProxyWait = 4us;

}  // namespace

void Controller::on_announcement(Connection& connection, AssignedIps assigned, Instant now) {
  const auto client = connection.options.client;
  // Without a grant there is nothing to announce to, and no answer (spec policy 4.6).
  if (!access_.has(client)) return drop(DropReason::name_not_granted);
  if (!connection.announcements.take(now)) return drop(DropReason::names_limited);
  const dns::Names::Announcement announced{assigned.resource, assigned.domain, assigned.proxy_ips};
  // Before the lookup: nobody uses this gateway to resolve names of others (spec policy 4.5.3).
  if (const auto refusal = access_.refusal_of(client, announced)) {
    drop(*refusal);
    log_.debug("announced name refused", {{"client", client},
                                          {"resource", assigned.resource},
                                          {"name", assigned.domain},
                                          {"reason", sentence_of(*refusal)}});
    send_status(connection, domain_status(assigned.resource, assigned.domain, false));
    return;
  }
  const auto id = resolutions_.start(assigned.domain, dns::Asker::announcement, client, now);
  if (id)
    asked_.emplace(*id, Announced{client, std::move(assigned)});
  else
    drop(id.error());  // the client asks again after two seconds
}

void Controller::accept(const Announced& announced, const dns::Resolved& resolved, Instant now) {
  const auto& what = announced.what;
  const auto done =
      access_.announce(announced.client, {what.resource, what.domain, what.proxy_ips}, resolved);
  if (!done) drop(done.error());
  log_.debug(done ? "name leads to its addresses" : "name leads nowhere",
             {{"client", announced.client},
              {"resource", what.resource},
              {"name", what.domain},
              {"addresses", resolved.all().size()}});
  auto* connection = find(announced.client);
  if (connection == nullptr) return;  // its next connection begins with all its names
  auto& news = connection->names;
  if (done) {
    news.translate |= !done->translate.empty();
    news.forget_flows |= !done->renumbered.empty();
    news.recompile |= !done->recompile.empty();
  }
  news.answers.push_back(domain_status(what.resource, what.domain, done.has_value()));
  if (connection->names_at <= now)
    tell_names(*connection, now);
  else
    dirty_.push_back(connection->options.key);
}

void Controller::accept(const Refresh& refresh, const dns::Resolved& resolved, Instant now) {
  apply(access_.refresh(refresh.client, refresh.name, resolved), now);
}

// The client releases its packets on our answer: by then the worker knows where they go, and where
// they go before it lets them through.
void Controller::tell_names(Connection& connection, Instant now) {
  const auto news = std::exchange(connection.names, {});
  if (news.translate) set_translations(connection, news.forget_flows);
  if (news.recompile) set_policy(connection);
  if (const auto* names = access_.names_of(connection.options.client);
      names != nullptr && names->weight() > kPromptProxies && (news.translate || news.recompile)) {
    connection.names_at = now + kPerProxyWait * names->weight();
  }
  for (const auto& json : news.answers) send_status(connection, json);
}

void Controller::send_status(const Connection& connection, const std::string& json) {
  std::array<std::uint8_t, pipeline::kInnerPacketMax> out{};
  const packet::ControlMessage status{packet::ControlMessage::kDomainStatus, as_bytes(json)};
  if (const auto length = status.write(out); length > 0)
    send_inner(connection, Bytes{out}.first(length));
}

void Controller::on_name_silent(const pipeline::NameSilent& silent, Instant now) {
  const auto* connection = find(silent.slot);
  if (connection == nullptr) return;
  const auto client = connection->options.client;
  const auto name = access_.start_refresh(client, silent.name, now);
  if (!name) return;
  if (const auto id = resolutions_.start(*name, dns::Asker::announcement, client, now))
    asked_.emplace(*id, Refresh{client, silent.name});
  else
    drop(id.error());
}

void Controller::set_translations(Connection& connection, bool forget_flows) {
  std::unique_ptr<const nat::Translations> compiled;
  if (const auto* names = access_.names_of(connection.options.client);
      names != nullptr && !names->proxies().empty()) {
    compiled = nat::Translations::compile(names->translations(), connection.options.is_legacy);
  }
  const auto* lent = compiled.get();
  if (lent != nullptr) translations_.emplace(lent, std::move(compiled));
  tell(connection.options.worker,
       pipeline::SetTranslations{connection.options.slot, lent, forget_flows});
}

}  // namespace fg::controller
