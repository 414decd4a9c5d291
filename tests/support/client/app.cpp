#include "tests/support/client/app.h"

#include <csignal>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/encoding.h"
#include "crypto/crypto.h"
#include "packet/buffer.h"
#include "tests/support/client/state.h"

namespace fg::client {

App::App(AppOptions options, Log log)
    : options_(std::move(options)),
      log_(std::move(log)),
      resolver_(loop_, {.mark = options_.mark, .servers = {}}),
      host_({options_.tun, options_.mark}) {}

bool App::open() {
  crypto::init();
  aead_.emplace(crypto::choose_aead([this] { return loop_.now(); }).choice);
  auto tun = io::kernel::open_tun({.name = options_.tun});
  if (!tun) {
    log_.error("no TUN device", {{"error", tun.error().to_string()}});
    return false;
  }
  traffic_ = std::make_unique<Traffic>(std::move(tun->queues[0]));
  auto sockets = Sockets::open(options_.port, options_.mark);
  if (!sockets) {
    log_.error("no UDP socket", {{"error", sockets.error().to_string()}});
    return false;
  }
  sockets_ = std::move(*sockets);
  if (!options_.control.empty()) {
    control_ = std::make_unique<ControlSocket>(
        loop_, [this](std::string_view line) { return command(line); });
    if (const auto listening = control_->listen(options_.control); !listening) {
      log_.error("no control socket", {{"error", listening.error().to_string()}});
      return false;
    }
  }
  return true;
}

int App::run() {
  if (!open()) return 1;
  PortalCallbacks callbacks;
  callbacks.on_joined = [this] {
    ++joins_;
    log_.info("joined");
    engine_->on_portal_joined(loop_.now());
  };
  callbacks.on_lost = [this](const std::string& reason) {
    log_.warn("portal lost", {{"reason", reason}});
  };
  callbacks.on_message = [this](Message message) {
    engine_->on_message(std::move(message), loop_.now());
  };
  callbacks.on_reply = [this](const Channel::Replied& reply) {
    engine_->on_reply(reply, loop_.now());
  };
  callbacks.on_fatal = [this](const std::string& reason) {
    log_.error("portal refused us", {{"reason", reason}});
    stop(1);
  };
  link_ = std::make_unique<PortalLink>(loop_, resolver_, random_, log_, options_.login,
                                       options_.mark, std::move(callbacks));

  identity_.emplace(crypto::generate_key_pair(random_));
  start_over();
  watch_sockets();
  loop_.watch(traffic_->tun_fd(),
              [this] { traffic_->read_tun(*engine_, *sockets_, loop_.now(), loop_.wall_now()); });
  loop_.on_signals({SIGTERM, SIGINT}, [this](int) { stop(0); });
  loop_.on_turn([this](Instant now) { turn(now); });
  loop_.run();
  loop_.unwatch(traffic_->tun_fd());
  for (const int fd : sockets_->fds()) loop_.unwatch(fd);
  return status_;
}

void App::watch_sockets() {
  for (const int fd : sockets_->fds()) {
    loop_.watch(fd, [this, fd] { traffic_->receive(*engine_, *sockets_, fd, loop_.now()); });
  }
}

// A new machine with the identity as it is, and a new portal connection for it.
void App::start_over() {
  EngineOptions options;
  options.generation = options_.login.generation;
  engine_ =
      std::make_unique<Engine>(std::move(options), *identity_, *aead_, random_, log_, loop_.now());
  link_->dial(identity_->public_key());
}

void App::turn(Instant now) {
  const auto wall = loop_.wall_now();
  const auto due = engine_->wakeup();
  if (due && due->at <= now) engine_->on_timeout(now, wall);
  engine_->settle(now, wall);
  while (auto datagram = engine_->poll_datagram()) traffic_->send(*sockets_, *datagram);
  while (auto message = engine_->poll_portal())
    link_->send(std::move(message->message), message->tag);
  if (const auto setup = engine_->poll_network()) {
    if (!host_.apply(*setup)) log_.warn("ip refused something");
  }
  const auto next = engine_->wakeup();
  loop_.set_deadline(next ? std::optional{next->at} : std::nullopt);
}

std::string App::command(std::string_view line) {
  const auto json = nlohmann::json::parse(line, nullptr, false);
  const auto text = [&](const char* name) {
    const auto at = json.is_object() ? json.find(name) : json.end();
    return json.is_object() && at != json.end() && at->is_string() ? at->get<std::string>()
                                                                   : std::string{};
  };
  const auto what = text("do");
  if (what == "state") {
    return state_json(*engine_, traffic_->counters(),
                      {link_->is_joined(), joins_, sockets_->failed()}, loop_.now());
  }
  if (what == "connect") {
    const auto resource = ResourceId::parse(text("resource"));
    if (!resource) return R"({"error":"no such id"})";
    engine_->connect(*resource, loop_.now());
  } else if (what == "resolve") {
    const auto through = ResourceId::parse(text("resource"));
    auto answer = nlohmann::json{{"v4", nlohmann::json::array()}, {"v6", nlohmann::json::array()}};
    for (const auto& address : engine_->resolve(text("name"), through, loop_.now()))
      answer[address.is_v4() ? "v4" : "v6"].push_back(address.to_string());
    return answer.dump();
  } else if (what == "inner") {
    ByteVector packet;
    if (const auto bytes = decode_hex(text("hex"))) packet = *bytes;
    if (packet.empty() || packet.size() > packet::kPacketMax ||
        !engine_->send_raw(packet, loop_.now()))
      return R"({"error":"not sent"})";
  } else if (what == "goodbye") {
    engine_->close_all(loop_.now());
  } else if (what == "reset") {
    reset();
  } else if (what == "quit") {
    stop(0);
  } else {
    return R"({"error":"unknown command"})";
  }
  return R"({"ok":true})";
}

// Another network: everything outer is new (spec connectivity 2.17, portal 5.1).
void App::reset() {
  for (const int fd : sockets_->fds()) loop_.unwatch(fd);
  sockets_.reset();
  auto sockets = Sockets::open(options_.port, options_.mark);
  if (!sockets) {
    log_.error("no UDP socket", {{"error", sockets.error().to_string()}});
    loop_.stop();
    status_ = 1;
    return;
  }
  sockets_ = std::move(*sockets);
  engine_.reset();
  if (options_.login.generation != Generation::a)
    identity_.emplace(crypto::generate_key_pair(random_));
  start_over();
  watch_sockets();
}

void App::stop(int status) {
  if (std::exchange(is_stopping_, true)) return;
  status_ = status;
  engine_->close_all(loop_.now());
  turn(loop_.now());
  link_->shut_down([this] { loop_.stop(); });
}

}  // namespace fg::client
