// The portal's end of one gateway's WebSocket, generation B (spec portal 1.7 to 1.9): joins and
// heartbeats are answered here, everything else is the owner's.
#pragma once

#include <deque>
#include <functional>
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
#include "base/encoding.h"

namespace fg::swarm {

using Json = nlohmann::json;

class Portal {
 public:
  using OnJoined = std::function<void()>;
  using OnMessage = std::function<void(const std::string& event, const Json& payload)>;

  Portal(boost::asio::io_context& io, const SocketAddress& listen, OnJoined on_joined,
         OnMessage on_message);

  void send(const std::string& event, Json payload);
  // Base64, as the gateway gave it when it connected.
  [[nodiscard]] const std::string& gateway_key() const { return gateway_key_; }

 private:
  using Stream = boost::beast::websocket::stream<boost::beast::tcp_stream>;

  void accept();
  void on_request(const std::shared_ptr<Stream>& stream);
  void read(const std::shared_ptr<Stream>& stream);
  void on_frame(const Json& frame);
  void reply(const Json& frame);
  void push(const Json& frame);
  void write();

  boost::asio::ip::tcp::acceptor acceptor_;
  OnJoined on_joined_;
  OnMessage on_message_;
  std::shared_ptr<Stream> stream_;  // the newest
  boost::beast::flat_buffer received_;
  boost::beast::http::request<boost::beast::http::string_body> request_;
  std::deque<std::string> waiting_;
  bool is_writing_ = false;
  std::string gateway_key_;
};

}  // namespace fg::swarm
