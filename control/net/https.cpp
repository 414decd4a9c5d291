#include "control/net/https.h"

#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <utility>

#include "control/net/boot_timer.h"
#include "control/net/dial.h"
#include "control/net/portal_stream.h"

namespace fg::net {

namespace http = boost::beast::http;
using ErrorCode = boost::system::error_code;

namespace {

constexpr std::uint32_t kHeadMax = 16'384;
constexpr std::uint16_t kHttpsPort = 443;

std::optional<std::string> field_of(const http::response<http::string_body>& answer,
                                    http::field field) {
  const auto at = answer.find(field);
  if (at == answer.end()) return std::nullopt;
  return std::string{at->value()};
}

}  // namespace

struct HttpsConnection::Impl : std::enable_shared_from_this<Impl> {
  using Connected = std::function<void(std::string)>;
  using Answered = std::function<void(Result<HttpsAnswer, HttpsFailure>)>;

  Impl(Loop& l, Resolver& r, std::shared_ptr<TlsContext> t, Log log, std::uint32_t mark)
      : loop(l), tls(std::move(t)), dial(std::make_shared<Dial>(l, r, std::move(log), mark)) {}

  void connect(DialTarget target, Connected done) {
    host = target.host;
    on_connected = std::move(done);
    limit(kHttpsConnectMax);
    name = portal::authority_of(target.host, target.port);
    if (target.port == kHttpsPort) name.resize(name.rfind(':'));
    dial->start(std::move(target), [self = shared_from_this()](std::string error,
                                                               std::optional<Dial::Socket> socket) {
      if (self->is_ended) return;
      if (!socket) return self->end(std::move(error), false);
      self->stream.emplace(std::move(*socket));
      start_tls(*self->stream, *self->tls, self->host, self->name, [self](std::string failure) {
        if (self->is_ended) return;
        if (!failure.empty()) return self->end(std::move(failure), false);
        self->timer.reset();
        self->is_open = true;
        const auto callback = std::exchange(self->on_connected, {});
        callback({});
      });
    });
  }

  void post(const std::string& target, const SecretText& bearer, std::string json, Answered done) {
    on_answered = std::move(done);
    request = {};
    request.version(11);
    request.method(http::verb::post);
    request.target(target);
    request.set(http::field::host, name);
    request.set(http::field::authorization, "Bearer " + bearer.expose());
    request.set(http::field::content_type, "application/json");
    request.body() = std::move(json);
    request.prepare_payload();
    parser.emplace();
    parser->header_limit(kHeadMax);
    parser->body_limit(kHttpsAnswerBytesMax);
    limit(kHttpsAnswerMax);
    http::async_write(*stream, request,
                      [self = shared_from_this()](const ErrorCode& error, std::size_t) {
                        if (self->is_ended) return;
                        // Who answers before it has read all closes perhaps, and its answer counts.
                        (void)error;
                        self->read();
                      });
  }

  void read() {
    http::async_read(*stream, buffer, *parser,
                     [self = shared_from_this()](const ErrorCode& error, std::size_t) {
                       if (self->is_ended) return;
                       if (error) return self->end("connection lost: " + error.message(), false);
                       self->on_answer();
                     });
  }

  void on_answer() {
    timer.reset();
    request = {};
    const auto& message = parser->get();
    const HttpsAnswer answer{message.result_int(), field_of(message, http::field::retry_after),
                             field_of(message, http::field::location)};
    const auto callback = std::exchange(on_answered, {});
    if (!message.keep_alive()) close();
    callback(answer);
  }

  void limit(Duration time) {
    timer.emplace(loop.context(), [weak = weak_from_this()] {
      if (const auto self = weak.lock()) self->end("timed out", true);
    });
    timer->set(loop.now() + time);
  }

  void end(std::string reason, bool is_timeout) {
    if (is_ended) return;
    const auto connected = std::exchange(on_connected, {});
    const auto answered = std::exchange(on_answered, {});
    close();
    if (connected) connected(std::move(reason));
    if (answered) answered(fail(HttpsFailure{std::move(reason), is_timeout}));
  }

  void close() {
    is_ended = true;
    is_open = false;
    on_connected = {};
    on_answered = {};
    timer.reset();
    dial->cancel();
    if (stream) stream->close();
  }

  Loop& loop;
  std::shared_ptr<TlsContext> tls;
  std::shared_ptr<Dial> dial;
  std::string host;
  std::string name;  // as the Host header has it
  std::optional<BootTimer> timer;
  std::optional<PortalStream> stream;
  boost::beast::flat_buffer buffer;
  http::request<http::string_body> request;
  std::optional<http::response_parser<http::string_body>> parser;
  Connected on_connected;
  Answered on_answered;
  bool is_open = false;
  bool is_ended = false;
};

HttpsConnection::HttpsConnection(Loop& loop, Resolver& resolver, std::shared_ptr<TlsContext> tls,
                                 Log log, std::uint32_t mark)
    : loop_(loop), resolver_(resolver), tls_(std::move(tls)), log_(std::move(log)), mark_(mark) {}

HttpsConnection::~HttpsConnection() { close(); }

void HttpsConnection::connect(const std::string& host, std::uint16_t port,
                              std::optional<portal::Proxy> proxy,
                              std::function<void(std::string error)> done) {
  close();
  impl_ = std::make_shared<Impl>(loop_, resolver_, tls_, log_, mark_);
  impl_->connect({host, port, std::move(proxy)}, std::move(done));
}

bool HttpsConnection::is_open_to(const std::string& host) const {
  return impl_ != nullptr && impl_->is_open && impl_->host == host;
}

void HttpsConnection::post(const std::string& target, const SecretText& bearer, std::string json,
                           std::function<void(Result<HttpsAnswer, HttpsFailure>)> done) {
  impl_->post(target, bearer, std::move(json), std::move(done));
}

void HttpsConnection::close() {
  if (impl_ != nullptr) impl_->close();
  impl_.reset();
}

}  // namespace fg::net
