#include "tests/support/swarm/portal.h"

#include <boost/beast/core/buffers_to_string.hpp>
#include <boost/beast/http.hpp>

namespace fg::swarm {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;

asio::ip::tcp::endpoint endpoint_of(const SocketAddress& address) {
  return {asio::ip::make_address(address.ip.to_string()), address.port};
}

// The value of a query parameter, with %XX undone.
std::string parameter(std::string_view target, std::string_view name) {
  const auto at = target.find(std::string{name} + "=");
  if (at == std::string_view::npos) return {};
  const auto value = target.substr(at + name.size() + 1);
  std::string out;
  for (std::size_t i = 0; i < value.size() && value[i] != '&'; ++i) {
    if (value[i] == '%' && i + 2 < value.size()) {
      out += static_cast<char>(std::stoi(std::string{value.substr(i + 1, 2)}, nullptr, 16));
      i += 2;
    } else {
      out += value[i];
    }
  }
  return out;
}

}  // namespace

Portal::Portal(asio::io_context& io, const SocketAddress& listen, std::optional<Generation> only,
               OnJoined on_joined, OnMessage on_message)
    : acceptor_(io, endpoint_of(listen)),
      only_(only),
      on_joined_(std::move(on_joined)),
      on_message_(std::move(on_message)) {
  accept();
}

void Portal::accept() {
  acceptor_.async_accept([this](beast::error_code error, asio::ip::tcp::socket socket) {
    if (error) return;
    ++heard_.connections;
    on_request(std::make_shared<Connection>(std::move(socket)));
    accept();
  });
}

void Portal::on_request(const ConnectionPtr& connection) {
  http::async_read(
      connection->stream.next_layer(), connection->received, connection->request,
      [this, connection](beast::error_code error, auto) {
        if (error) return;
        on_upgrade(*connection);
        if (only_ && *only_ != Generation::c && generation_ == Generation::c) {  // spec portal 1.5
          ++heard_.refused;
          http::response<http::string_body> refusal{http::status::not_found,
                                                    connection->request.version()};
          refusal.prepare_payload();
          beast::error_code ignored;
          http::write(connection->stream.next_layer(), refusal, ignored);
          return;
        }
        if (only_) generation_ = *only_;
        connection->stream.async_accept(connection->request,
                                        [this, connection](beast::error_code refused) {
                                          if (refused) return;
                                          connection_ = connection;
                                          waiting_.clear();
                                          is_writing_ = false;
                                          connection->received.clear();
                                          read(connection);
                                        });
      });
}

void Portal::on_upgrade(const Connection& connection) {
  const std::string target{connection.request.target()};
  heard_.path = target.substr(0, target.find('?'));
  heard_.agent = std::string{connection.request[http::field::user_agent]};
  generation_ = generation_of(target, !connection.request["X-Authorization"].empty());
  gateway_key_ = parameter(target, "public_key");
}

void Portal::read(const ConnectionPtr& connection) {
  connection->stream.async_read(
      connection->received, [this, connection](beast::error_code error, auto) {
        if (error || connection != connection_) return;
        const auto frame =
            Json::parse(beast::buffers_to_string(connection->received.data()), nullptr, false);
        connection->received.clear();
        try {
          on_frame(frame);
        } catch (const Json::exception&) {
          ++heard_.not_understood;
        }
        read(connection);
      });
}

void Portal::on_frame(const Json& frame) {
  const auto& event = frame.at("event").get_ref<const std::string&>();
  ++heard_.events[event];
  const bool is_reply = agreement(event, frame.at("payload")).has_value();  // spec portal 1.10
  if (event == "heartbeat" || event == "phx_join" || is_reply) reply(frame);
  if (event == "phx_join")
    on_joined_();
  else if (event != "heartbeat")
    on_message_(event, frame.at("payload"));
}

void Portal::reply(const Json& frame) {
  push({{"topic", frame.at("topic")},
        {"event", "phx_reply"},
        {"ref", frame.at("ref")},
        {"payload", {{"status", "ok"}, {"response", Json::object()}}}});
}

void Portal::send(const std::string& event, Json payload) {
  push({{"topic", "gateway"}, {"event", event}, {"ref", nullptr}, {"payload", std::move(payload)}});
}

void Portal::push(const Json& frame) {
  if (connection_ == nullptr) return;
  waiting_.push_back(frame.dump());
  if (!is_writing_) write();
}

void Portal::write() {
  is_writing_ = !waiting_.empty();
  if (!is_writing_) return;
  const auto connection = connection_;
  const auto text = std::make_shared<const std::string>(std::move(waiting_.front()));
  waiting_.pop_front();
  connection->stream.text(true);
  connection->stream.async_write(asio::buffer(*text),
                                 [this, connection, text](beast::error_code error, auto) {
                                   if (!error && connection == connection_) write();
                                 });
}

}  // namespace fg::swarm
