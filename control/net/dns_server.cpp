#include "control/net/dns_server.h"

#include <net/if.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/udp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <fstream>
#include <map>
#include <set>
#include <utility>
#include <variant>

#include "control/dns/stream.h"
#include "control/net/boot_timer.h"
#include "control/net/dns_upstream.h"
#include "control/net/endpoint.h"
#include "control/net/file_version.h"

namespace fg::net {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using Tcp = asio::ip::tcp;
using Udp = asio::ip::udp;

constexpr std::size_t kReadSize = 2048;
constexpr int kDatagramsPerTurnMax = 32;
constexpr std::size_t kResolvConfMax = 65536;           // bytes
constexpr auto kAcceptPause = std::chrono::seconds{1};  // out of descriptors and the like

// Its two sockets at one address.
struct Side {
  Side(asio::io_context& context, const IpAddress& the_address)
      : address(the_address), udp(context), tcp(context), pause(context) {}
  IpAddress address;
  Udp::socket udp;
  Tcp::acceptor tcp;
  asio::steady_timer pause;
};
using SidePointer = std::shared_ptr<Side>;

template <class Socket, class Protocol>
std::optional<SysError> bind_to_tunnel(Socket& socket, Protocol protocol,
                                       const SocketAddress& address, const std::string& device) {
  error_code error;
  socket.open(protocol, error);
  if (!error && address.ip.is_v6()) socket.set_option(asio::ip::v6_only{true}, error);
  // Connections of a former run that linger; two listeners are refused all the same.
  if (!error && protocol.type() == SOCK_STREAM)
    socket.set_option(asio::socket_base::reuse_address{true}, error);
  if (error) return SysError{"open the DNS service's socket", error.value()};
  if (!device.empty() && ::setsockopt(socket.native_handle(), SOL_SOCKET, SO_BINDTODEVICE,
                                      device.c_str(), static_cast<socklen_t>(device.size())) != 0)
    return SysError{"bind the DNS service to the tunnel's device", errno};
  socket.bind(to_endpoint<typename Socket::protocol_type>(address), error);
  if (!error) socket.non_blocking(true, error);
  if (error) return SysError{"bind the DNS service to its address", error.value()};
  return std::nullopt;
}

struct Connection {
  Connection(Tcp::socket the_socket, const IpAddress& at, const IpAddress& from)
      : socket(std::move(the_socket)), address(at), client(from), idle(socket.get_executor()) {}

  Tcp::socket socket;
  IpAddress address;  // ours
  IpAddress client;
  asio::steady_timer idle;
  dns::StreamReader reader;
  std::array<std::uint8_t, kReadSize> chunk{};
  ByteVector reply;
  std::optional<dns::ExchangeId> asked;
};
using ConnectionPointer = std::shared_ptr<Connection>;

struct Datagram {
  IpAddress address;  // ours
  Udp::endpoint from;
};

std::vector<SocketAddress> read_servers(const std::string& path, std::uint16_t port) {
  std::string text(kResolvConfMax, '\0');
  std::ifstream in{path, std::ios::binary};
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(in.gcount()));
  std::vector<SocketAddress> out;
  for (const auto& ip : dns::parse_resolv_conf(text)) out.push_back({ip, port});
  return out;
}

}  // namespace

struct DnsServer::Impl : std::enable_shared_from_this<Impl> {
  Impl(Loop& the_loop, Random& random, DnsServerOptions the_options)
      : loop(the_loop),
        context(the_loop.context()),
        options(std::move(the_options)),
        forwarder(random, drops),
        timer(context,
              [this] {
                look_at_resolv_conf(loop.now());
                forwarder.on_timeout(loop.now());
                pass_on();
              }),
        retry(context, [this] { attempt(); }) {}

  void start() {
    upstream.emplace(
        loop, options.mark,
        [this](dns::ExchangeId id, const SocketAddress& from, Bytes message) {
          forwarder.on_message(id, from, message, loop.now());
          pass_on();
        },
        [this](dns::ExchangeId id) {
          forwarder.on_failure(id, loop.now());
          pass_on();
        });
    look_at_resolv_conf(loop.now());
    pass_on();
  }
  void stop() {
    is_stopped = true;
    timer.set(std::nullopt);
    close_sides();
    while (!connections.empty()) close(*connections.begin());
    upstream.reset();
  }

  void listen(std::vector<IpAddress> addresses);
  void attempt();
  std::optional<SysError> open_sides();
  void close_sides();

  // The kernel takes what the host sends to itself for something that came in by the device; it
  // has one of our addresses as source.
  [[nodiscard]] bool is_client(const IpAddress& from) const {
    return options.is_client(from) && std::ranges::find(wanted, from) == wanted.end();
  }
  void receive(const SidePointer& side);
  bool receive_one(const SidePointer& side);
  void accept(const SidePointer& side);
  void take(Tcp::socket socket, const IpAddress& address);
  void continue_with(const ConnectionPointer& connection);
  void read(const ConnectionPointer& connection);
  void serve(const ConnectionPointer& connection, Bytes message);
  void write(const ConnectionPointer& connection, Bytes message);
  void expect_progress(const ConnectionPointer& connection);
  void close(const ConnectionPointer& connection);

  std::optional<dns::ExchangeId> ask(dns::Transport transport, const IpAddress& client,
                                     Bytes message);
  void look_at_resolv_conf(Instant now);
  void pass_on();
  void deliver(const dns::Forwarder::Answer& answer);

  Loop& loop;
  asio::io_context& context;
  DnsServerOptions options;
  DropCounters drops;
  dns::Forwarder forwarder;
  std::optional<DnsUpstream> upstream;
  BootTimer timer;
  std::vector<SocketAddress> servers;
  FileVersion servers_version{};
  std::optional<Instant> servers_read_at;

  std::vector<IpAddress> wanted;
  std::function<void(const Outcome&)> told;
  unsigned device_index = 0;
  int attempts = 0;
  BootTimer retry;
  std::vector<SidePointer> sides;

  std::map<dns::ExchangeId, std::variant<Datagram, ConnectionPointer>> askers;
  std::set<ConnectionPointer> connections;
  std::map<IpAddress, std::size_t> connections_of;
  std::array<std::uint8_t, dns::kMessageMax> datagram{};
  bool is_stopped = false;
};

// ---- listening ----

void DnsServer::Impl::listen(std::vector<IpAddress> addresses) {
  const auto index = options.device.empty() ? 0 : ::if_nametoindex(options.device.c_str());
  const bool is_same_device = index == device_index;
  if (is_same_device && addresses == wanted && sides.size() == wanted.size()) return told({});
  wanted = std::move(addresses);
  device_index = index;
  close_sides();
  const auto former = connections;
  for (const auto& connection : former) {
    if (!is_same_device || std::ranges::find(wanted, connection->address) == wanted.end())
      close(connection);
  }
  attempts = 0;
  attempt();
}

// All addresses or none.
void DnsServer::Impl::attempt() {
  const auto refused = open_sides();
  if (!refused) return told({});
  close_sides();
  if (++attempts < kDnsBindAttempts)
    retry.set(loop.now() + kDnsBindPause);
  else
    told(fail(*refused));
}

std::optional<SysError> DnsServer::Impl::open_sides() {
  for (const auto& address : wanted) {
    const auto side = std::make_shared<Side>(context, address);
    sides.push_back(side);
    const SocketAddress at{address, options.port};
    if (auto refused =
            bind_to_tunnel(side->udp, address.is_v4() ? Udp::v4() : Udp::v6(), at, options.device))
      return refused;
    if (auto refused =
            bind_to_tunnel(side->tcp, address.is_v4() ? Tcp::v4() : Tcp::v6(), at, options.device))
      return refused;
    error_code error;
    side->tcp.listen(asio::socket_base::max_listen_connections, error);
    if (error) return SysError{"listen for DNS connections", error.value()};
  }
  for (const auto& side : sides) {
    receive(side);
    accept(side);
  }
  return std::nullopt;
}

void DnsServer::Impl::close_sides() {
  retry.set(std::nullopt);
  error_code ignored;
  for (const auto& side : sides) {
    side->udp.close(ignored);
    side->tcp.close(ignored);
    side->pause.cancel();
  }
  sides.clear();
}

// ---- UDP ----

void DnsServer::Impl::receive(const SidePointer& side) {
  side->udp.async_wait(Udp::socket::wait_read, [self = shared_from_this(), side](error_code error) {
    if (error || !side->udp.is_open()) return;
    for (int i = 0; i < kDatagramsPerTurnMax && self->receive_one(side); ++i) {
    }
    self->pass_on();
    self->receive(side);
  });
}

// False: nothing more waits.
bool DnsServer::Impl::receive_one(const SidePointer& side) {
  error_code error;
  Udp::endpoint from;
  const auto size = side->udp.receive_from(asio::buffer(datagram), from, 0, error);
  if (error) return false;
  const auto client = to_socket_address(from).ip;
  if (!is_client(client)) {
    drops.count(DropReason::dns_stranger);
    return true;
  }
  if (const auto id = ask(dns::Transport::udp, client, Bytes{datagram}.first(size)))
    askers.emplace(*id, Datagram{side->address, from});
  return true;
}

// ---- TCP ----

void DnsServer::Impl::accept(const SidePointer& side) {
  side->tcp.async_accept([self = shared_from_this(), side](error_code error, Tcp::socket socket) {
    if (!side->tcp.is_open()) return;
    if (!error) {
      self->take(std::move(socket), side->address);
      return self->accept(side);
    }
    side->pause.expires_after(kAcceptPause);
    side->pause.async_wait([self, side](error_code stopped) {
      if (!stopped && side->tcp.is_open()) self->accept(side);
    });
  });
}

void DnsServer::Impl::take(Tcp::socket socket, const IpAddress& address) {
  error_code error;
  const auto peer = socket.remote_endpoint(error);
  if (error) return;
  const auto client = to_socket_address(peer).ip;
  if (!is_client(client)) return drops.count(DropReason::dns_stranger);
  const auto own = connections_of.find(client);
  if (connections.size() >= kDnsConnectionsMax ||
      (own != connections_of.end() && own->second >= kDnsClientConnectionsMax))
    return drops.count(DropReason::dns_connections_full);
  ++connections_of[client];
  socket.set_option(Tcp::no_delay{true}, error);
  const auto connection = std::make_shared<Connection>(std::move(socket), address, client);
  connections.insert(connection);
  expect_progress(connection);
  read(connection);
}

// One query at a time; nothing is read while one is under way.
void DnsServer::Impl::continue_with(const ConnectionPointer& connection) {
  if (const auto message = connection->reader.poll_message())
    serve(connection, *message);
  else
    read(connection);
}

void DnsServer::Impl::read(const ConnectionPointer& connection) {
  connection->socket.async_read_some(
      asio::buffer(connection->chunk),
      [self = shared_from_this(), connection](error_code error, std::size_t n) {
        if (error) return self->close(connection);
        connection->reader.append(Bytes{connection->chunk}.first(n));
        self->continue_with(connection);
      });
}

void DnsServer::Impl::serve(const ConnectionPointer& connection, Bytes message) {
  const auto id = ask(dns::Transport::tcp, connection->client, message);
  if (!id) return close(connection);
  connection->asked = id;
  askers.emplace(*id, connection);
  expect_progress(connection);
  pass_on();
}

void DnsServer::Impl::write(const ConnectionPointer& connection, Bytes message) {
  connection->asked.reset();
  connection->reply = dns::framed(message);
  asio::async_write(connection->socket, asio::buffer(connection->reply),
                    [self = shared_from_this(), connection](error_code error, std::size_t) {
                      if (error) return self->close(connection);
                      self->expect_progress(connection);
                      self->continue_with(connection);
                    });
}

// A whole query or a whole reply in time, not merely bytes.
void DnsServer::Impl::expect_progress(const ConnectionPointer& connection) {
  connection->idle.expires_after(
      std::chrono::duration_cast<std::chrono::steady_clock::duration>(kDnsIdleMax));
  connection->idle.async_wait([self = shared_from_this(), connection](error_code stopped) {
    if (!stopped) self->close(connection);
  });
}

void DnsServer::Impl::close(const ConnectionPointer& connection) {
  if (connections.erase(connection) == 0) return;
  const auto own = connections_of.find(connection->client);
  if (--own->second == 0) connections_of.erase(own);
  connection->idle.cancel();
  error_code ignored;
  connection->socket.close(ignored);
  if (!connection->asked) return;
  askers.erase(*connection->asked);
  forwarder.abandon(*connection->asked);
  pass_on();
}

// ---- between askers and name servers ----

std::optional<dns::ExchangeId> DnsServer::Impl::ask(dns::Transport transport,
                                                    const IpAddress& client, Bytes message) {
  const auto now = loop.now();
  look_at_resolv_conf(now);
  return forwarder.on_query(transport, client, message, now);
}

void DnsServer::Impl::look_at_resolv_conf(Instant now) {
  if (servers_read_at && now - *servers_read_at < kResolvConfPause) return;
  const bool is_first = !servers_read_at;
  servers_read_at = now;
  const auto version = version_of(options.resolv_conf);
  if (!is_first && version == servers_version) return;
  servers_version = version;
  auto found = read_servers(options.resolv_conf, options.server_port);
  if (found == servers) return;
  servers = found;
  forwarder.set_servers(std::move(found), now);
}

void DnsServer::Impl::pass_on() {
  if (is_stopped) return;
  while (auto exchange = forwarder.poll_exchange()) upstream->begin(std::move(*exchange));
  while (const auto id = forwarder.poll_over()) upstream->end(*id);
  while (const auto answer = forwarder.poll_answer()) deliver(*answer);
  const auto due = forwarder.wakeup();
  timer.set(due ? std::optional{due->at} : std::nullopt);
}

void DnsServer::Impl::deliver(const dns::Forwarder::Answer& answer) {
  const auto asker = askers.extract(answer.id);
  if (asker.empty()) return;
  if (const auto* connection = std::get_if<ConnectionPointer>(&asker.mapped()))
    return write(*connection, answer.message);
  const auto& to = std::get<Datagram>(asker.mapped());
  // From the address that was asked. It may be ours no longer.
  const auto side =
      std::ranges::find(sides, to.address, [](const SidePointer& s) { return s->address; });
  if (side == sides.end()) return;
  error_code error;
  (*side)->udp.send_to(asio::buffer(answer.message), to.from, 0, error);
  if (error) drops.count(DropReason::udp_send_failed);
}

DnsServer::DnsServer(Loop& loop, Random& random, DnsServerOptions options)
    : impl_(std::make_shared<Impl>(loop, random, std::move(options))) {
  impl_->start();
}

DnsServer::~DnsServer() { impl_->stop(); }

void DnsServer::listen(std::vector<IpAddress> addresses, std::function<void(const Outcome&)> told) {
  impl_->told = std::move(told);
  impl_->listen(std::move(addresses));
}

const DropCounters& DnsServer::drops() const { return impl_->drops; }

}  // namespace fg::net
