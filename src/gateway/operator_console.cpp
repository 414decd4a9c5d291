#include "gateway/operator_console.h"

#include <cerrno>
#include <utility>
#include <variant>

#include "control/console/reply.h"

namespace fg::gateway {
namespace {

std::string not_found(const std::string& text, const controller::NotFound& why) {
  if (!why.is_ambiguous)
    return "no client is '" + text + "': 'firegate peers' lists those that have access";
  std::string out = "'" + text + "' is the beginning of several clients, give more of it:";
  for (const auto& id : why.matches) out += " " + id.to_string();
  return out;
}

std::string mend_for(const SysError& error) {
  if (error.error == EADDRINUSE)
    return "another gateway listens there: set FIREGATE_CONTROL_SOCKET to a path of its own";
  if (error.error == EEXIST)
    return "something that is no socket has this name: remove it or set FIREGATE_CONTROL_SOCKET";
  return "make its directory writable for the gateway or set FIREGATE_CONTROL_SOCKET";
}

}  // namespace

OperatorConsole::OperatorConsole(net::Loop& loop, Log log, std::string path,
                                 controller::Controller& controller, StatusNow status_now)
    : loop_(loop),
      log_(std::move(log)),
      path_(std::move(path)),
      controller_(controller),
      status_now_(std::move(status_now)) {}

void OperatorConsole::keep_offered() {
  if (path_.empty() || (socket_ && socket_->is_in_place())) return;
  socket_.reset();
  auto socket = std::make_unique<net::ControlSocket>(
      loop_, console::kRequestMax,
      [this](const std::string& line, net::ControlSocket::Reply reply) {
        on_line(line, std::move(reply));
      });
  if (const auto listening = socket->listen(path_); !listening) {
    if (!std::exchange(is_missing_said_, true)) {
      log_.warn("'firegate status' cannot ask this gateway, trying again every 10 s: " +
                    mend_for(listening.error()),
                {{"path", path_}, {"reason", listening.error().to_string()}});
    }
    return;
  }
  if (std::exchange(is_missing_said_, false))
    log_.info("'firegate status' can ask this gateway", {{"path", path_}});
  socket_ = std::move(socket);
}

void OperatorConsole::on_line(const std::string& line, net::ControlSocket::Reply reply) {
  auto request = console::parse_request(line);
  if (!request) {
    reply(console::write_error(console::sentence_of(request.error())));
    return;
  }
  waiting_.push_back({std::move(*request), std::move(reply), std::nullopt});
  loop_.set_deadline(loop_.now());
}

std::vector<ClientId> OperatorConsole::concerned(const console::Request& request) const {
  if (const auto* peers = std::get_if<console::AskPeers>(&request))
    return controller_.clients_after(peers->after, console::kPeersPerReply);
  if (const auto* peer = std::get_if<console::AskPeer>(&request)) {
    if (const auto client = controller_.find_client(peer->client)) return {*client};
  }
  return {};
}

void OperatorConsole::on_turn(Instant now) {
  while (!waiting_.empty()) {
    auto& first = waiting_.front();
    if (!first.until) {
      controller_.read_traffic(concerned(first.request));
      first.until = now + kTrafficWait;
    }
    if (controller_.is_reading_traffic() && now < *first.until) return;
    first.reply(std::visit([this](const auto& ask) { return answer(ask); }, first.request));
    waiting_.pop_front();
  }
}

std::optional<Instant> OperatorConsole::wakeup() const {
  if (waiting_.empty()) return std::nullopt;
  return waiting_.front().until.value_or(Instant{});
}

std::string OperatorConsole::answer(const console::AskStatus& /*none*/) const {
  return console::write_status(status_now_(), clock());
}

std::string OperatorConsole::answer(const console::AskPeers& ask) const {
  const auto clients = controller_.clients_after(ask.after, console::kPeersPerReply);
  std::vector<controller::ClientReport> peers;
  for (const auto& client : clients) peers.push_back(controller_.client_report(client));
  std::optional<ClientId> next;
  if (!clients.empty() && !controller_.clients_after(clients.back(), 1).empty())
    next = clients.back();
  return console::write_peers(peers, next, clock());
}

std::string OperatorConsole::answer(const console::AskPeer& ask) const {
  const auto client = controller_.find_client(ask.client);
  if (!client) return console::write_error(not_found(ask.client, client.error()));
  return console::write_peer(controller_.client_report(*client),
                             controller_.resource_reports(*client, console::kResourcesPerReply),
                             controller_.translation_reports(*client, console::kNamesPerReply),
                             clock());
}

std::string OperatorConsole::answer(const console::AskExplain& ask) const {
  const auto client = controller_.find_client(ask.client);
  if (!client) return console::write_error(not_found(ask.client, client.error()));
  auto destination = IpAddress::parse(ask.destination);
  if (!destination) {
    for (const auto& proxy : controller_.proxies_of(*client, ask.destination)) {
      if (destination || (ask.source && ask.source->family() != proxy.family())) continue;
      destination = proxy;
    }
  }
  if (!destination)
    return console::write_error("'" + ask.destination +
                                "' is neither an address nor a name the client uses now");
  if (ask.source && ask.source->family() != destination->family())
    return console::write_error("source and destination are of different IP families");
  return console::write_explanation(
      controller_.explain({*client, ask.source, *destination, ask.protocol, ask.port}), clock());
}

}  // namespace fg::gateway
