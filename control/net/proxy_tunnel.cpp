#include "control/net/proxy_tunnel.h"

#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/write.hpp>
#include <memory>
#include <utility>

namespace fg::net {
namespace {

namespace beast = boost::beast;
namespace http = boost::beast::http;
using ErrorCode = boost::system::error_code;

constexpr std::uint32_t kHeadMax = 16'384;

struct Tunnel {
  std::string proxy;
  std::string target;
  bool has_credentials = false;
  std::function<void(std::string)> done;
  http::request<http::empty_body> request;
  beast::flat_buffer buffer{kHeadMax};
  http::response_parser<http::empty_body> parser;
};

std::string refusal_of(const Tunnel& tunnel) {
  constexpr unsigned kCredentialsWanted = 407;
  const auto status = tunnel.parser.get().result_int();
  if (status == kCredentialsWanted) {
    return "proxy " + tunnel.proxy + " wants " +
           (tunnel.has_credentials ? "other credentials" : "credentials") +
           " (407): set them in the proxy's URL, http://user:password@" + tunnel.proxy;
  }
  return "proxy " + tunnel.proxy + " does not connect to " + tunnel.target + ": HTTP status " +
         std::to_string(status);
}

}  // namespace

void open_tunnel(boost::asio::ip::tcp::socket& socket, const portal::Proxy& proxy,
                 const std::string& target, std::function<void(std::string error)> done) {
  auto tunnel = std::make_shared<Tunnel>();
  tunnel->proxy = portal::authority_of(proxy.host, proxy.port);
  tunnel->target = target;
  tunnel->has_credentials = proxy.authorization.has_value();
  tunnel->done = std::move(done);
  tunnel->request.version(11);
  tunnel->request.method(http::verb::connect);
  tunnel->request.target(target);
  tunnel->request.set(http::field::host, target);
  if (proxy.authorization)
    tunnel->request.set(http::field::proxy_authorization, proxy.authorization->expose());
  tunnel->parser.header_limit(kHeadMax);
  tunnel->parser.skip(true);  // an answer to CONNECT has no body
  const auto lost = [](const Tunnel& of, const ErrorCode& error) {
    of.done("proxy " + of.proxy + " ended the connection: " + error.message());
  };
  http::async_write(
      socket, tunnel->request, [&socket, tunnel, lost](const ErrorCode& error, std::size_t) {
        if (error) return lost(*tunnel, error);
        http::async_read_header(
            socket, tunnel->buffer, tunnel->parser,
            [tunnel, lost](const ErrorCode& failed, std::size_t) {
              if (failed) return lost(*tunnel, failed);
              if (tunnel->parser.get().result_int() / 100 != 2)
                return tunnel->done(refusal_of(*tunnel));
              // Neither TLS nor HTTP lets the portal speak first.
              if (tunnel->buffer.size() > 0)
                return tunnel->done("proxy " + tunnel->proxy + " sent more than an answer");
              tunnel->done({});
            });
      });
}

}  // namespace fg::net
