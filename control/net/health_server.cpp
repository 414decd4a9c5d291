#include "control/net/health_server.h"

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>

#include "control/net/endpoint.h"

namespace fg::net {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using Tcp = asio::ip::tcp;

using Response = http::response<http::string_body>;

Response answer(http::verb method, std::string_view target,
                const HealthServer::Reasons& reasons_not_ready) {
  Response out;
  out.version(11);
  const auto path = target.substr(0, target.find('?'));
  if (path != "/healthz" && path != "/readyz") {
    out.result(http::status::not_found);
  } else if (method != http::verb::get && method != http::verb::head) {
    out.result(http::status::method_not_allowed);
    out.set(http::field::allow, "GET,HEAD");
  } else if (path == "/readyz") {
    for (const auto& reason : reasons_not_ready()) out.body() += reason + "\n";
    out.result(out.body().empty() ? http::status::ok : http::status::service_unavailable);
    if (!out.body().empty()) out.set(http::field::content_type, "text/plain; charset=utf-8");
  } else {
    out.result(http::status::ok);
  }
  out.keep_alive(false);
  out.prepare_payload();
  if (method == http::verb::head) out.body().clear();  // its length is told all the same
  return out;
}

}  // namespace

struct HealthServer::Impl : std::enable_shared_from_this<Impl> {
  Impl(asio::io_context& the_context, Reasons reasons)
      : context(the_context), acceptor(context), reasons_not_ready(std::move(reasons)) {}

  struct Connection {
    explicit Connection(Tcp::socket the_socket) : stream(std::move(the_socket)) {
      parser.header_limit(kHealthRequestMax);
    }
    boost::beast::tcp_stream stream;
    boost::beast::flat_buffer buffer{kHealthRequestMax};
    http::request_parser<http::empty_body> parser;
    Response response;
  };

  void accept() {
    acceptor.async_accept(
        [self = shared_from_this()](boost::system::error_code error, Tcp::socket socket) {
          if (error == asio::error::operation_aborted) return;
          // Over the limit the connection is closed at once; the listener goes on.
          if (!error && self->connections < kHealthConnectionsMax) self->serve(std::move(socket));
          if (!error) return self->accept();
          // Out of descriptors and the like: not again before a while.
          self->pause.expires_after(std::chrono::seconds{1});
          self->pause.async_wait([self](boost::system::error_code stopped) {
            if (!stopped) self->accept();
          });
        });
  }

  void serve(Tcp::socket socket) {
    ++connections;
    auto connection = std::make_shared<Connection>(std::move(socket));
    connection->stream.expires_after(
        std::chrono::duration_cast<std::chrono::steady_clock::duration>(kHealthTimeout));
    http::async_read_header(
        connection->stream, connection->buffer, connection->parser,
        [self = shared_from_this(), connection](boost::system::error_code error, std::size_t) {
          if (error) {
            --self->connections;
            return;
          }
          const auto& request = connection->parser.get();
          connection->response =
              answer(request.method(), {request.target().data(), request.target().size()},
                     self->reasons_not_ready);
          http::async_write(connection->stream, connection->response,
                            [self, connection](boost::system::error_code, std::size_t) {
                              boost::system::error_code ignored;
                              connection->stream.socket().shutdown(Tcp::socket::shutdown_both,
                                                                   ignored);
                              --self->connections;
                            });
        });
  }

  asio::io_context& context;
  Tcp::acceptor acceptor;
  asio::steady_timer pause{context};
  Reasons reasons_not_ready;
  std::size_t connections = 0;
};

HealthServer::HealthServer(Loop& loop, Reasons reasons_not_ready)
    : impl_(std::make_shared<Impl>(loop.context(), std::move(reasons_not_ready))) {}

HealthServer::~HealthServer() {
  boost::system::error_code ignored;
  impl_->acceptor.close(ignored);
  impl_->pause.cancel();
}

Result<void, SysError> HealthServer::listen(const SocketAddress& address) {
  boost::system::error_code error;
  const auto endpoint = to_endpoint<Tcp>(address);
  auto& acceptor = impl_->acceptor;
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(Tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error) {
    boost::system::error_code ignored;
    acceptor.close(ignored);
    return fail(SysError{"listen for health checks", error.value()});
  }
  impl_->accept();
  return {};
}

std::uint16_t HealthServer::port() const {
  boost::system::error_code ignored;
  return impl_->acceptor.local_endpoint(ignored).port();
}

}  // namespace fg::net
