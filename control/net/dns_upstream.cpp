#include "control/net/dns_upstream.h"

#include <sys/socket.h>

#include <array>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/udp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>
#include <map>
#include <variant>

#include "control/dns/stream.h"
#include "control/net/endpoint.h"

namespace fg::net {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using Tcp = asio::ip::tcp;
using Udp = asio::ip::udp;

constexpr std::size_t kReadSize = 4096;

template <class Socket, class Endpoint>
error_code open(Socket& socket, const Endpoint& server, std::uint32_t mark) {
  error_code error;
  socket.open(server.protocol(), error);
  if (!error && mark != 0 &&
      ::setsockopt(socket.native_handle(), SOL_SOCKET, SO_MARK, &mark, sizeof mark) != 0) {
    // Unmarked it could be routed into the tunnel.
    error.assign(errno, boost::system::system_category());
  }
  if (!error) socket.non_blocking(true, error);
  return error;
}

struct UdpExchange {
  explicit UdpExchange(asio::io_context& context) : socket(context) {}
  Udp::socket socket;
};

struct TcpExchange {
  explicit TcpExchange(asio::io_context& context) : socket(context) {}
  Tcp::socket socket;
  ByteVector query;
  std::array<std::uint8_t, kReadSize> chunk{};
  dns::StreamReader reader;
};

}  // namespace

struct DnsUpstream::Impl : std::enable_shared_from_this<Impl> {
  Impl(Loop& loop, std::uint32_t the_mark, OnMessage message, OnFailure failure)
      : context(loop.context()),
        mark(the_mark),
        on_message(std::move(message)),
        on_failure(std::move(failure)) {}

  using UdpPointer = std::shared_ptr<UdpExchange>;
  using TcpPointer = std::shared_ptr<TcpExchange>;

  void fail_later(dns::ExchangeId id) {
    asio::post(context, [self = shared_from_this(), id] { self->fail(id); });
  }
  void fail(dns::ExchangeId id) {
    if (exchanges.erase(id) != 0) on_failure(id);
  }
  [[nodiscard]] bool is_open(dns::ExchangeId id) const { return exchanges.contains(id); }

  void begin_udp(dns::Forwarder::Exchange exchange) {
    const auto udp = std::make_shared<UdpExchange>(context);
    exchanges.emplace(exchange.id, udp);
    const auto server = to_endpoint<Udp>(exchange.server);
    auto error = open(udp->socket, server, mark);
    if (!error) udp->socket.connect(server, error);
    if (!error) udp->socket.send(asio::buffer(exchange.message), 0, error);
    if (error) return fail_later(exchange.id);
    receive(exchange.id, udp);
  }
  void receive(dns::ExchangeId id, const UdpPointer& udp) {
    udp->socket.async_wait(
        Udp::socket::wait_read, [self = shared_from_this(), id, udp](error_code error) {
          if (!self->is_open(id)) return;
          Udp::endpoint from;
          std::size_t n = 0;
          if (!error) n = udp->socket.receive_from(asio::buffer(self->datagram), from, 0, error);
          if (error && error != asio::error::would_block) return self->fail(id);
          if (!error) self->on_message(id, to_socket_address(from), Bytes{self->datagram}.first(n));
          if (self->is_open(id)) self->receive(id, udp);
        });
  }

  void begin_tcp(dns::Forwarder::Exchange exchange) {
    const auto tcp = std::make_shared<TcpExchange>(context);
    const auto id = exchange.id;
    exchanges.emplace(id, tcp);
    tcp->query = dns::framed(exchange.message);
    const auto server = to_endpoint<Tcp>(exchange.server);
    if (open(tcp->socket, server, mark)) return fail_later(id);
    tcp->socket.async_connect(server, [self = shared_from_this(), id, tcp](error_code error) {
      if (!self->is_open(id)) return;
      if (error) return self->fail(id);
      asio::async_write(tcp->socket, asio::buffer(tcp->query),
                        [self, id, tcp](error_code failed, std::size_t) {
                          if (!self->is_open(id)) return;
                          if (failed) return self->fail(id);
                          self->read(id, tcp);
                        });
    });
  }
  void read(dns::ExchangeId id, const TcpPointer& tcp) {
    tcp->socket.async_read_some(asio::buffer(tcp->chunk), [self = shared_from_this(), id, tcp](
                                                              error_code error, std::size_t n) {
      if (!self->is_open(id)) return;
      if (error) return self->fail(id);
      tcp->reader.append(Bytes{tcp->chunk}.first(n));
      const auto message = tcp->reader.poll_message();
      if (!message) return self->read(id, tcp);
      const auto from = tcp->socket.remote_endpoint(error);
      if (error) return self->fail(id);
      self->on_message(id, to_socket_address(from), *message);
    });
  }

  asio::io_context& context;
  std::uint32_t mark;
  OnMessage on_message;
  OnFailure on_failure;
  // The last hold on each: gone from here, its socket closes with the operation that waits on it.
  std::map<dns::ExchangeId, std::variant<UdpPointer, TcpPointer>> exchanges;
  std::array<std::uint8_t, dns::kMessageMax> datagram{};
};

DnsUpstream::DnsUpstream(Loop& loop, std::uint32_t mark, OnMessage on_message, OnFailure on_failure)
    : impl_(std::make_shared<Impl>(loop, mark, std::move(on_message), std::move(on_failure))) {}

DnsUpstream::~DnsUpstream() {
  while (!impl_->exchanges.empty()) end(impl_->exchanges.begin()->first);
}

void DnsUpstream::begin(dns::Forwarder::Exchange exchange) {
  if (exchange.transport == dns::Transport::udp)
    impl_->begin_udp(std::move(exchange));
  else
    impl_->begin_tcp(std::move(exchange));
}

void DnsUpstream::end(dns::ExchangeId id) {
  const auto at = impl_->exchanges.find(id);
  if (at == impl_->exchanges.end()) return;
  error_code ignored;
  std::visit([&](const auto& exchange) { exchange->socket.close(ignored); }, at->second);
  impl_->exchanges.erase(at);
}

}  // namespace fg::net
