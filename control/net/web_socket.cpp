#include "control/net/web_socket.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/udp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/field.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/websocket/error.hpp>
#include <boost/beast/websocket/stream.hpp>
#include <optional>

#include "control/net/boot_timer.h"
#include "control/net/dial.h"
#include "control/net/portal_stream.h"
#include "control/portal/codec.h"

namespace fg::net {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
namespace websocket = boost::beast::websocket;
using ErrorCode = boost::system::error_code;

namespace {

constexpr std::size_t kReadBufferKept = std::size_t{1} << 20;
constexpr std::size_t kFrameBytesMax = std::size_t{16} << 20;  // spec portal 1.5
// For the frame to leave. Not more: once TCP repeats it, nothing follows it, and no end of stream.
constexpr Duration kAbandonTime = 100ms;
constexpr std::size_t kReadAtOnce = std::size_t{64} << 10;

// Sent from an address the host has no longer, nothing else would leave.
void allow_lost_address(asio::ip::tcp::socket& socket) {
  ErrorCode error;
  const bool is_v4 = socket.local_endpoint(error).address().is_v4();
  const int on = 1;
  (void)::setsockopt(socket.native_handle(), is_v4 ? IPPROTO_IP : IPPROTO_IPV6,
                     is_v4 ? IP_TRANSPARENT : IPV6_TRANSPARENT, &on, sizeof on);
}

// Of what a portal answered so far; none while its head is not whole, and of an upgrade.
std::optional<portal::UpgradeRefusal> refusal_in(const std::string& answer) {
  http::response_parser<http::string_body> parser;
  parser.header_limit(kRefusalBytesMax);
  parser.body_limit(boost::none);
  parser.eager(true);
  ErrorCode error;
  (void)parser.put(asio::buffer(answer), error);
  if (!parser.is_header_done()) return std::nullopt;
  const auto& response = parser.get();
  if (response.result() == http::status::switching_protocols) return std::nullopt;
  portal::UpgradeRefusal refusal;
  refusal.status = static_cast<int>(response.result_int());
  refusal.content_type = std::string{response[http::field::content_type]};
  if (const auto at = response.find(http::field::retry_after); at != response.end())
    refusal.retry_after = std::string{at->value()};
  refusal.body = response.body();
  return refusal;
}

}  // namespace

struct WebSocket::Impl : std::enable_shared_from_this<WebSocket::Impl> {
  using Stream = websocket::stream<PortalStream>;

  Impl(Loop& l, Resolver& r, std::shared_ptr<TlsContext> t, Log log_to, std::uint32_t m)
      : loop(l),
        tls(std::move(t)),
        mark(m),
        dial(std::make_shared<Dial>(l, r, std::move(log_to), m)) {}

  void connect(portal::UpgradeRequest wanted, Callbacks to);
  void set_timer(std::optional<BootTimer>& timer, Duration after, void (Impl::*on_expired)());
  void on_upgrade_timeout() { fail_upgrade("upgrade timed out"); }
  void on_dialled(const std::string& error, std::optional<Dial::Socket> socket);
  void upgrade();
  void on_answer(std::string_view part);
  void on_upgraded(const ErrorCode& error);
  void fail_upgrade(const std::string& reason);
  void read();
  void on_read(const ErrorCode& error);
  void write(std::string text);
  void close(std::function<void()> done);
  void on_peer_close();
  void on_close_finished();
  void lose(const std::string& reason);
  void lose_oversized();
  void end();
  [[nodiscard]] std::string reason_of(const ErrorCode& error) const;

  Loop& loop;
  std::shared_ptr<TlsContext> tls;
  std::uint32_t mark;
  std::shared_ptr<Dial> dial;
  portal::UpgradeRequest request;
  Callbacks callbacks;
  std::optional<BootTimer> upgrade_timer;
  std::optional<BootTimer> close_timer;
  std::optional<Stream> stream;
  std::string answer;  // to the upgrade, as far as it has come
  beast::flat_buffer buffer;
  std::string text;  // being written
  std::function<void()> on_closed;
  bool is_open = false;
  bool is_closed_by_peer = false;
  bool is_writing = false;
  bool is_ended = false;
};

void WebSocket::Impl::connect(portal::UpgradeRequest wanted, Callbacks to) {
  request = std::move(wanted);
  callbacks = std::move(to);
  set_timer(upgrade_timer, kUpgradeTimeout, &Impl::on_upgrade_timeout);
  dial->start(
      {request.host, request.port, request.proxy},
      [self = shared_from_this()](const std::string& error, std::optional<Dial::Socket> socket) {
        self->on_dialled(error, std::move(socket));
      });
}

void WebSocket::Impl::set_timer(std::optional<BootTimer>& timer, Duration after,
                                void (Impl::*on_expired)()) {
  timer.emplace(loop.context(), [weak = weak_from_this(), on_expired] {
    if (const auto self = weak.lock()) (*self.*on_expired)();
  });
  timer->set(loop.now() + after);
}

void WebSocket::Impl::on_dialled(const std::string& error, std::optional<Dial::Socket> socket) {
  if (is_ended) return;
  if (!socket) return lose(error);
  stream.emplace(std::move(*socket));
  if (!request.is_tls) return upgrade();
  start_tls(stream->next_layer(), *tls, request.host, "the portal",
            [self = shared_from_this()](const std::string& failure) {
              if (self->is_ended) return;
              if (!failure.empty()) return self->lose(failure);
              self->upgrade();
            });
}

void WebSocket::Impl::upgrade() {
  stream->auto_fragment(false);
  stream->control_callback([this](websocket::frame_type kind, std::string_view) {
    if (kind == websocket::frame_type::close) on_peer_close();
  });
  stream->set_option(websocket::stream_base::decorator([this](websocket::request_type& headers) {
    headers.set(http::field::user_agent, request.user_agent);
    if (request.authorization) headers.set("X-Authorization", request.authorization->expose());
  }));
  stream->next_layer().set_tap([this](std::string_view part) { on_answer(part); });
  stream->async_handshake(
      request.host_header, request.target.expose(),
      [self = shared_from_this()](const ErrorCode& error) { self->on_upgraded(error); });
}

// Beast tells of a refusal when its body has ended. What counts is the head (spec portal 1.5), and
// a body may be cut, or have no end.
void WebSocket::Impl::on_answer(std::string_view part) {
  constexpr std::string_view kHeadEnd = "\r\n\r\n";
  if (is_ended) return;
  const bool is_whole = answer.find(kHeadEnd) != std::string::npos;
  answer += part.substr(0, kRefusalBytesMax - answer.size());
  if (!is_whole && answer.find(kHeadEnd) != std::string::npos && refusal_in(answer))
    set_timer(upgrade_timer, kRefusalTimeout, &Impl::on_upgrade_timeout);
}

void WebSocket::Impl::on_upgraded(const ErrorCode& error) {
  if (is_ended) return;
  upgrade_timer.reset();
  if (error) return fail_upgrade("upgrade failed: " + error.message());
  stream->next_layer().set_tap({});
  answer.clear();
  is_open = true;
  request.target.clear();
  read();
  const auto callback = callbacks.on_open;
  callback();
}

void WebSocket::Impl::fail_upgrade(const std::string& reason) {
  const auto refusal = refusal_in(answer);
  if (!refusal) return lose(reason);
  if (is_ended) return;
  const auto callback = callbacks.on_refused;
  end();
  callback(*refusal);
}

// Beast checks its limit where a frame begins, against the message so far: so the limit moves on
// with the message and is one of the frame, too.
void WebSocket::Impl::read() {
  stream->read_message_max(std::min(buffer.size() + kFrameBytesMax, portal::kMessageBytesMax));
  stream->async_read_some(
      buffer, kReadAtOnce,
      [self = shared_from_this()](const ErrorCode& error, std::size_t /*size*/) {
        self->on_read(error);
      });
}

void WebSocket::Impl::on_read(const ErrorCode& error) {
  if (is_ended) return;
  if (error) {
    if (on_closed) return on_close_finished();
    if (error == websocket::error::message_too_big) return lose_oversized();
    return lose(reason_of(error));
  }
  if (!stream->is_message_done()) return read();
  // A binary message is of no protocol we speak (spec portal 1.12).
  if (stream->got_text() && !on_closed) {
    const auto data = buffer.cdata();
    const auto callback = callbacks.on_text;
    callback({static_cast<const char*>(data.data()), data.size()});
  }
  if (is_ended) return;
  buffer.consume(buffer.size());
  if (buffer.capacity() > kReadBufferKept) buffer.shrink_to_fit();
  read();
}

void WebSocket::Impl::write(std::string message) {
  text = std::move(message);
  is_writing = true;
  stream->text(true);
  stream->async_write(asio::buffer(text),
                      [self = shared_from_this()](const ErrorCode& error, std::size_t /*size*/) {
                        self->is_writing = false;
                        // The read fails as well and tells why, unless it has already.
                        if (error || self->is_ended || self->on_closed) return;
                        const auto callback = self->callbacks.on_writable;
                        callback();
                      });
}

void WebSocket::Impl::close(std::function<void()> done) {
  if (is_ended || !is_open) {
    end();
    loop.post(std::move(done));
    return;
  }
  on_closed = std::move(done);
  set_timer(close_timer, kCloseTimeout, &Impl::on_close_finished);
  stream->async_close(
      websocket::close_code::normal,
      [self = shared_from_this()](const ErrorCode& /*error*/) { self->on_close_finished(); });
}

// Code and reason go back as they came (spec portal 1.12); Beast's own answer has no reason. The
// read ends with it and tells.
void WebSocket::Impl::on_peer_close() {
  if (is_ended || on_closed) return;
  is_closed_by_peer = true;
  stream->async_close(stream->reason(), [self = shared_from_this()](const ErrorCode&) {});
}

void WebSocket::Impl::on_close_finished() {
  if (is_ended || !on_closed) return;
  const auto done = std::move(on_closed);
  end();
  done();
}

std::string WebSocket::Impl::reason_of(const ErrorCode& error) const {
  if (error != websocket::error::closed && !is_closed_by_peer)
    return "connection lost: " + error.message();
  return "portal closed the connection: code " + std::to_string(stream->reason().code);
}

void WebSocket::Impl::lose(const std::string& reason) {
  if (is_ended) return;
  const auto callback = callbacks.on_lost;
  end();
  callback(reason);
}

void WebSocket::Impl::lose_oversized() {
  const auto callback = callbacks.on_oversized;
  end();
  callback();
}

void WebSocket::Impl::end() {
  is_ended = true;
  is_open = false;
  callbacks = {};
  upgrade_timer.reset();
  close_timer.reset();
  dial->cancel();
  if (stream) stream->next_layer().close();
}

WebSocket::WebSocket(Loop& loop, Resolver& resolver, std::shared_ptr<TlsContext> tls, Log log,
                     std::uint32_t mark)
    : impl_(std::make_shared<Impl>(loop, resolver, std::move(tls), std::move(log), mark)) {}

WebSocket::~WebSocket() { impl_->end(); }

void WebSocket::connect(portal::UpgradeRequest request, Callbacks callbacks) {
  impl_->connect(std::move(request), std::move(callbacks));
}
bool WebSocket::is_writable() const {
  return impl_->is_open && !impl_->is_writing && !impl_->on_closed;
}
void WebSocket::write(std::string text) { impl_->write(std::move(text)); }
void WebSocket::abandon() {
  if (impl_->is_ended || !impl_->is_open) return impl_->end();
  impl_->callbacks = {};
  allow_lost_address(impl_->stream->next_layer().tcp());
  impl_->close([] {});
  impl_->set_timer(impl_->close_timer, kAbandonTime, &Impl::on_close_finished);
}
void WebSocket::close(std::function<void()> done) { impl_->close(std::move(done)); }
void WebSocket::drop() { impl_->end(); }

// A UDP socket connected to the same place sends nothing and shows what routing would choose.
bool WebSocket::is_stranded() const {
  if (impl_->is_ended || !impl_->stream) return false;
  const auto& connection = impl_->stream->next_layer().tcp();
  ErrorCode error;
  const auto ours = connection.local_endpoint(error);
  if (error) return false;
  const auto theirs = connection.remote_endpoint(error);
  if (error) return false;
  asio::ip::udp::socket probe{impl_->loop.context()};
  probe.open(theirs.address().is_v4() ? asio::ip::udp::v4() : asio::ip::udp::v6(), error);
  if (error) return false;
  (void)::setsockopt(probe.native_handle(), SOL_SOCKET, SO_MARK, &impl_->mark, sizeof impl_->mark);
  probe.connect({theirs.address(), theirs.port()}, error);
  if (error) return false;  // no way at all at the moment: the old one may come back
  const auto chosen = probe.local_endpoint(error);
  return !error && chosen.address() != ours.address();
}

}  // namespace fg::net
