// The portal's end of one gateway's WebSocket (spec portal 1.7 to 1.9), of the generation that asks
// for it: joins and heartbeats are answered here, everything else is the owner's.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/websocket.hpp>
#include <nlohmann/json.hpp>

#include "base/address.h"
#include "tests/support/swarm/dialect.h"

namespace fg::swarm {

class Portal {
 public:
  using OnJoined = std::function<void()>;
  using OnMessage = std::function<void(const std::string& event, const Json& payload)>;

  // What was heard so far, for whoever wonders why nobody comes.
  struct Heard {
    std::uint64_t connections = 0;
    std::uint64_t refused = 0;
    std::uint64_t not_understood = 0;
    std::string path;   // of the newest request, without its parameters
    std::string agent;  // User-Agent of it
    std::map<std::string, std::uint64_t> events;
  };

  // `only`: other generations are refused or taken for it.
  Portal(boost::asio::io_context& io, const SocketAddress& listen, std::optional<Generation> only,
         OnJoined on_joined, OnMessage on_message);

  void send(const std::string& event, Json payload);
  // Base64, as the gateway gave it when it connected.
  [[nodiscard]] const std::string& gateway_key() const { return gateway_key_; }
  [[nodiscard]] Generation generation() const { return generation_; }
  [[nodiscard]] const Heard& heard() const { return heard_; }

 private:
  struct Connection {
    explicit Connection(boost::asio::ip::tcp::socket socket) : stream(std::move(socket)) {}
    boost::beast::websocket::stream<boost::beast::tcp_stream> stream;
    boost::beast::flat_buffer received;
    boost::beast::http::request<boost::beast::http::string_body> request;
  };
  using ConnectionPtr = std::shared_ptr<Connection>;

  void accept();
  void on_request(const ConnectionPtr& connection);
  void read(const ConnectionPtr& connection);
  void on_upgrade(const Connection& connection);
  void on_frame(const Json& frame);
  void reply(const Json& frame);
  void push(const Json& frame);
  void write();

  boost::asio::ip::tcp::acceptor acceptor_;
  std::optional<Generation> only_;
  OnJoined on_joined_;
  OnMessage on_message_;
  ConnectionPtr connection_;  // the newest
  std::deque<std::string> waiting_;
  bool is_writing_ = false;
  std::string gateway_key_;
  Generation generation_ = Generation::b;
  Heard heard_;
};

}  // namespace fg::swarm
