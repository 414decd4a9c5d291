#include "control/net/portal_client.h"

#include <optional>
#include <utility>

#include "control/net/boot_timer.h"
#include "control/net/web_socket.h"
#include "control/portal/session.h"

namespace fg::net {

struct PortalClient::Impl : std::enable_shared_from_this<PortalClient::Impl> {
  Impl(Loop& l, Resolver& r, Random& random, Log log_to, PortalClientOptions o, PortalHandler& h)
      : loop(l),
        resolver(r),
        log(log_to),
        mark(o.mark),
        ca_file(std::move(o.ca_file)),
        handler(&h),
        session(std::move(o.login), o.partition_time_max, random, std::move(log_to)) {}

  void start();
  void dial(portal::UpgradeRequest request);
  void pump();
  void dispatch(portal::Session::Event& event);
  void shut_down(std::function<void()> done);
  void flush();

  // A callback of the socket: `call` tells the session, then everything that follows is carried
  // out. Told by a socket that was dropped meanwhile: nothing happens, because a dropped socket
  // does not call back.
  template <class Call>
  auto then_pump(Call call) {
    return [weak = weak_from_this(), call](auto&&... arguments) {
      const auto self = weak.lock();
      if (!self || self->handler == nullptr) return;
      call(*self, std::forward<decltype(arguments)>(arguments)...);
      self->pump();
    };
  }

  Loop& loop;
  Resolver& resolver;
  Log log;
  std::uint32_t mark;
  std::string ca_file;
  PortalHandler* handler;  // nullptr from shut_down on
  portal::Session session;
  std::shared_ptr<TlsContext> tls;
  std::unique_ptr<WebSocket> socket;
  std::optional<BootTimer> timer;
  bool is_pumping = false;
  std::function<void()> on_flushed;
};

void PortalClient::Impl::start() {
  auto created = TlsContext::create(ca_file);
  if (!created) {
    loop.post([self = shared_from_this(), reason = created.error()] {
      if (self->handler != nullptr) self->handler->on_portal_fatal(reason);
    });
    return;
  }
  tls = *created;
  timer.emplace(loop.context(),
                then_pump([](Impl& self) { self.session.on_timeout(self.loop.now()); }));
  session.start(loop.now());
  pump();
}

void PortalClient::Impl::dial(portal::UpgradeRequest request) {
  socket = std::make_unique<WebSocket>(loop, resolver, tls, log, mark);
  WebSocket::Callbacks callbacks;
  callbacks.on_open = then_pump([](Impl& self) { self.session.on_upgraded(self.loop.now()); });
  callbacks.on_refused = then_pump([](Impl& self, const portal::UpgradeRefusal& refusal) {
    self.session.on_refused(refusal, self.loop.now(), self.loop.wall_now());
  });
  callbacks.on_lost = then_pump(
      [](Impl& self, const std::string& reason) { self.session.on_lost(reason, self.loop.now()); });
  callbacks.on_oversized =
      then_pump([](Impl& self) { self.session.on_oversized(self.loop.now()); });
  callbacks.on_text = then_pump(
      [](Impl& self, std::string_view text) { self.session.on_text(text, self.loop.now()); });
  callbacks.on_writable = [weak = weak_from_this()] {
    const auto self = weak.lock();
    if (!self) return;
    if (self->on_flushed) return self->flush();
    if (self->handler != nullptr) self->pump();
  };
  socket->connect(std::move(request), std::move(callbacks));
}

void PortalClient::Impl::pump() {
  if (is_pumping) return;
  is_pumping = true;
  const auto self = shared_from_this();  // a handler may destroy the client
  bool is_busy = true;
  while (is_busy && handler != nullptr) {
    is_busy = false;
    while (auto action = session.poll_action()) {
      is_busy = true;
      if (auto* wanted = std::get_if<portal::Session::Dial>(&*action)) {
        dial(std::move(wanted->request));
      } else if (socket) {
        socket->drop();
      }
    }
    if (socket && socket->is_writable()) {
      if (auto text = session.poll_text(loop.now())) socket->write(std::move(*text));
    }
    if (auto event = session.poll_event()) {
      is_busy = true;
      dispatch(*event);
    }
  }
  is_pumping = false;
  if (handler == nullptr || !timer) return;
  const auto wakeup = session.wakeup();
  timer->set(wakeup ? std::optional{wakeup->at} : std::nullopt);
}

void PortalClient::Impl::dispatch(portal::Session::Event& event) {
  using portal::Session;
  if (auto* message = std::get_if<portal::Ingress>(&event)) {
    handler->on_portal_message(std::move(*message));
  } else if (const auto* joined = std::get_if<Session::Joined>(&event)) {
    handler->on_portal_joined(joined->generation);
  } else if (const auto* lost = std::get_if<Session::Disconnected>(&event)) {
    handler->on_portal_disconnected(lost->reason, lost->retry_in);
  } else if (const auto* fatal = std::get_if<Session::Fatal>(&event)) {
    handler->on_portal_fatal(fatal->reason);
  }
}

void PortalClient::Impl::shut_down(std::function<void()> done) {
  handler = nullptr;
  timer.reset();
  if (!socket) {
    loop.post(std::move(done));
    return;
  }
  on_flushed = std::move(done);
  flush();
}

// What was said before the end still goes out, one message at a time.
void PortalClient::Impl::flush() {
  if (session.is_joined()) {
    if (!socket->is_writable()) return;
    if (auto text = session.poll_text(loop.now())) return socket->write(std::move(*text));
  }
  socket->close(std::exchange(on_flushed, nullptr));
}

PortalClient::PortalClient(Loop& loop, Resolver& resolver, Random& random, Log log,
                           PortalClientOptions options, PortalHandler& handler)
    : impl_(std::make_shared<Impl>(loop, resolver, random, std::move(log), std::move(options),
                                   handler)) {}

PortalClient::~PortalClient() { impl_->handler = nullptr; }

void PortalClient::start() { impl_->start(); }

void PortalClient::send(const portal::Egress& egress) {
  if (impl_->handler == nullptr) return;
  impl_->session.send(egress, impl_->loop.now());
  impl_->pump();
}

void PortalClient::forget_client(const ClientId& client) { impl_->session.forget_client(client); }
void PortalClient::shut_down(std::function<void()> done) { impl_->shut_down(std::move(done)); }
void PortalClient::on_network_changed() {
  impl_->loop.post(impl_->then_pump([](Impl& self) {
    if (!self.socket || !self.socket->is_stranded()) return;
    // A portal that keeps a silent connection refuses the next (spec portal 3.1).
    self.socket->abandon();
    self.session.on_lost("own address changed", self.loop.now());
  }));
}
bool PortalClient::is_joined() const { return impl_->session.is_joined(); }
const portal::ChannelCounters& PortalClient::counters() const { return impl_->session.counters(); }

}  // namespace fg::net
