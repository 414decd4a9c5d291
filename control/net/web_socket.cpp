#include "control/net/web_socket.h"

#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/udp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/field.hpp>
#include <boost/beast/websocket/error.hpp>
#include <boost/beast/websocket/stream.hpp>
#include <optional>
#include <vector>

#include "control/net/boot_timer.h"
#include "control/net/portal_stream.h"
#include "control/net/proxy_tunnel.h"
#include "control/portal/codec.h"

namespace fg::net {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
namespace websocket = boost::beast::websocket;
using boost::asio::ip::tcp;
using ErrorCode = boost::system::error_code;

namespace {

// Unacknowledged data for as long as four heartbeats take means a dead path.
constexpr unsigned kTcpUserTimeoutMs = 40'000;
constexpr std::size_t kReadBufferKept = std::size_t{1} << 20;

tcp::endpoint endpoint_of(const IpAddress& ip, std::uint16_t port) {
  if (ip.is_v4()) {
    asio::ip::address_v4::bytes_type bytes{};
    std::copy(ip.bytes().begin(), ip.bytes().end(), bytes.begin());
    return {asio::ip::address_v4{bytes}, port};
  }
  return {asio::ip::address_v6{ip.raw()}, port};
}

// OpenSSL's words for a certificate it refused say why; the error code does not.
std::string tls_failure(SSL* tls, const ErrorCode& error) {
  const long verdict = SSL_get_verify_result(tls);
  if (verdict == X509_V_OK) return "TLS handshake failed: " + error.message();
  const std::string why = X509_verify_cert_error_string(verdict);
  return "the portal's certificate is refused: " + why;
}

}  // namespace

struct TlsContext::Impl {
  asio::ssl::context context{asio::ssl::context::tls_client};
};

TlsContext::TlsContext() : impl_(std::make_unique<Impl>()) {}
TlsContext::~TlsContext() = default;

Result<std::shared_ptr<TlsContext>, std::string> TlsContext::create(const std::string& ca_file) {
  std::shared_ptr<TlsContext> tls{new TlsContext};
  auto& context = tls->impl_->context;
  SSL_CTX_set_min_proto_version(context.native_handle(), TLS1_2_VERSION);
  ErrorCode error;
  context.set_verify_mode(asio::ssl::verify_peer, error);
  context.set_default_verify_paths(error);
  if (!ca_file.empty()) {
    context.load_verify_file(ca_file, error);
    if (error) return fail("Failed to read trust anchors from " + ca_file + ": " + error.message());
  }
  return tls;
}

struct WebSocket::Impl : std::enable_shared_from_this<WebSocket::Impl> {
  using Stream = websocket::stream<PortalStream>;

  Impl(Loop& l, Resolver& r, std::shared_ptr<TlsContext> t, Log log_to, std::uint32_t m)
      : loop(l), resolver(r), tls(std::move(t)), log(std::move(log_to)), mark(m) {}

  void connect(portal::UpgradeRequest wanted, Callbacks to);
  void set_timer(std::optional<BootTimer>& timer, Duration after, void (Impl::*on_expired)());
  void on_tcp_timeout() { lose("failed to connect to " + dialled_name() + ": timed out"); }
  void on_upgrade_timeout() { lose("upgrade timed out"); }
  // The host and port dialled: the proxy's if there is one.
  [[nodiscard]] const std::string& dialled_host() const {
    return request.proxy ? request.proxy->host : request.host;
  }
  [[nodiscard]] std::uint16_t dialled_port() const {
    return request.proxy ? request.proxy->port : request.port;
  }
  [[nodiscard]] std::string dialled_name() const {
    return (request.proxy ? "proxy " : "") + portal::authority_of(dialled_host(), dialled_port());
  }
  void on_resolved(Resolver::Answer answer);
  void start_dial(const IpAddress& address);
  void on_dialled(std::size_t index, const ErrorCode& error);
  void cross_proxy();
  void start_tls();
  void upgrade();
  void on_upgraded(const ErrorCode& error);
  void read();
  void on_read(const ErrorCode& error);
  void write(std::string text);
  void close(std::function<void()> done);
  void on_peer_close();
  void on_close_finished();
  void lose(const std::string& reason);
  void end();
  [[nodiscard]] std::string reason_of(const ErrorCode& error) const;

  Loop& loop;
  Resolver& resolver;
  std::shared_ptr<TlsContext> tls;
  Log log;
  std::uint32_t mark;
  portal::UpgradeRequest request;
  Callbacks callbacks;
  std::optional<BootTimer> tcp_timer;
  std::optional<BootTimer> upgrade_timer;
  std::optional<BootTimer> close_timer;
  std::vector<tcp::socket> dialling;
  std::size_t pending_dials = 0;
  std::string last_error;
  std::optional<Stream> stream;
  websocket::response_type response;
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
  resolver.resolve(
      dialled_host(),
      [weak = weak_from_this()](Resolver::Answer answer) {
        if (const auto self = weak.lock()) self->on_resolved(std::move(answer));
      },
      Resolver::Families::first_best);
}

void WebSocket::Impl::set_timer(std::optional<BootTimer>& timer, Duration after,
                                void (Impl::*on_expired)()) {
  timer.emplace(loop.context(), [weak = weak_from_this(), on_expired] {
    if (const auto self = weak.lock()) (*self.*on_expired)();
  });
  timer->set(loop.now() + after);
}

void WebSocket::Impl::on_resolved(Resolver::Answer answer) {
  if (is_ended) return;
  if (!answer) return lose("failed to resolve " + dialled_host() + ": " + answer.error());
  set_timer(tcp_timer, kTcpTimeout, &Impl::on_tcp_timeout);
  dialling.reserve(answer->size());
  for (const auto& address : *answer) start_dial(address);
  if (pending_dials == 0) lose(last_error.empty() ? "no IP addresses available" : last_error);
}

void WebSocket::Impl::start_dial(const IpAddress& address) {
  const auto endpoint = endpoint_of(address, dialled_port());
  tcp::socket socket{loop.context()};
  ErrorCode error;
  socket.open(endpoint.protocol(), error);
  if (error) {
    last_error = "failed to open a socket: " + error.message();
    return;
  }
  if (mark != 0 &&
      ::setsockopt(socket.native_handle(), SOL_SOCKET, SO_MARK, &mark, sizeof mark) != 0) {
    log.debug("cannot mark the socket to the portal", {{"errno", errno}});
  }
  const std::size_t index = dialling.size();
  ++pending_dials;
  dialling.push_back(std::move(socket));
  dialling.back().async_connect(endpoint,
                                [self = shared_from_this(), index](const ErrorCode& result) {
                                  self->on_dialled(index, result);
                                });
}

void WebSocket::Impl::on_dialled(std::size_t index, const ErrorCode& error) {
  --pending_dials;
  if (is_ended || stream) return;
  if (error) {
    last_error = "failed to connect to " + dialled_name() + ": " + error.message();
    if (pending_dials == 0) lose(last_error);
    return;
  }
  tcp_timer.reset();
  auto winner = std::move(dialling[index]);
  ErrorCode ignored;
  for (auto& socket : dialling) socket.close(ignored);
  winner.set_option(tcp::no_delay{true}, ignored);
  (void)::setsockopt(winner.native_handle(), IPPROTO_TCP, TCP_USER_TIMEOUT, &kTcpUserTimeoutMs,
                     sizeof kTcpUserTimeoutMs);
  stream.emplace(std::move(winner));
  if (request.proxy)
    cross_proxy();
  else
    start_tls();
}

void WebSocket::Impl::cross_proxy() {
  open_tunnel(stream->next_layer().tcp(), *request.proxy,
              portal::authority_of(request.host, request.port),
              [self = shared_from_this()](const std::string& error) {
                if (self->is_ended) return;
                if (!error.empty()) return self->lose(error);
                self->start_tls();
              });
}

void WebSocket::Impl::start_tls() {
  if (!request.is_tls) return upgrade();
  auto& secure = stream->next_layer().start_tls(tls->impl().context);
  if (!IpAddress::parse(request.host)) {
    // The macro for it casts in the old style.
    SSL_ctrl(secure.native_handle(), SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
             request.host.data());
  }
  ErrorCode error;
  secure.set_verify_callback(asio::ssl::host_name_verification{request.host}, error);
  if (error) return lose(error.message());
  secure.async_handshake(
      asio::ssl::stream_base::client, [self = shared_from_this()](const ErrorCode& result) {
        if (self->is_ended) return;
        if (result) return self->lose(tls_failure(self->stream->next_layer().tls(), result));
        self->upgrade();
      });
}

void WebSocket::Impl::upgrade() {
  stream->read_message_max(portal::kMessageBytesMax);
  stream->auto_fragment(false);
  stream->control_callback([this](websocket::frame_type kind, std::string_view) {
    if (kind == websocket::frame_type::close) on_peer_close();
  });
  stream->set_option(websocket::stream_base::decorator([this](websocket::request_type& headers) {
    headers.set(http::field::user_agent, request.user_agent);
    if (request.authorization) headers.set("X-Authorization", request.authorization->expose());
  }));
  stream->async_handshake(
      response, request.host_header, request.target.expose(),
      [self = shared_from_this()](const ErrorCode& error) { self->on_upgraded(error); });
}

void WebSocket::Impl::on_upgraded(const ErrorCode& error) {
  if (is_ended) return;
  upgrade_timer.reset();
  if (error == websocket::error::upgrade_declined) {
    portal::UpgradeRefusal refusal;
    refusal.status = static_cast<int>(response.result_int());
    refusal.content_type = std::string{response[http::field::content_type]};
    if (const auto at = response.find(http::field::retry_after); at != response.end()) {
      refusal.retry_after = std::string{at->value()};
    }
    refusal.body = response.body();
    const auto callback = callbacks.on_refused;
    end();
    return callback(refusal);
  }
  if (error) return lose("upgrade failed: " + error.message());
  is_open = true;
  request.target.clear();
  read();
  const auto callback = callbacks.on_open;
  callback();
}

void WebSocket::Impl::read() {
  stream->async_read(buffer,
                     [self = shared_from_this()](const ErrorCode& error, std::size_t /*size*/) {
                       self->on_read(error);
                     });
}

void WebSocket::Impl::on_read(const ErrorCode& error) {
  if (is_ended) return;
  if (error) {
    if (on_closed) return on_close_finished();
    return lose(reason_of(error));
  }
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

void WebSocket::Impl::end() {
  is_ended = true;
  is_open = false;
  callbacks = {};
  tcp_timer.reset();
  upgrade_timer.reset();
  close_timer.reset();
  ErrorCode ignored;
  for (auto& socket : dialling) socket.close(ignored);
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
