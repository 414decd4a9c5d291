#include "control/net/dial.h"

#include <netinet/tcp.h>
#include <sys/socket.h>

#include <utility>

#include "control/net/endpoint.h"
#include "control/net/proxy_tunnel.h"

namespace fg::net {

using boost::asio::ip::tcp;
using ErrorCode = boost::system::error_code;

namespace {

// Unacknowledged data for as long as four heartbeats take means a dead path.
constexpr unsigned kTcpUserTimeoutMs = 40'000;

}  // namespace

void Dial::start(DialTarget target, Done done) {
  target_ = std::move(target);
  done_ = std::move(done);
  resolver_.resolve(
      dialled_host(),
      [weak = weak_from_this()](Resolver::Answer answer) {
        if (const auto self = weak.lock()) self->on_resolved(std::move(answer));
      },
      Resolver::Families::first_best);
}

void Dial::on_resolved(Resolver::Answer answer) {
  if (is_ended_) return;
  if (!answer) return finish("failed to resolve " + dialled_host() + ": " + answer.error());
  timer_.emplace(loop_.context(), [weak = weak_from_this()] {
    if (const auto self = weak.lock())
      self->finish("failed to connect to " + self->dialled_name() + ": timed out");
  });
  timer_->set(loop_.now() + kTcpTimeout);
  dialling_.reserve(answer->size());
  for (const auto& address : *answer) start_dial(address);
  if (pending_ == 0) finish(last_error_.empty() ? "no IP addresses available" : last_error_);
}

void Dial::start_dial(const IpAddress& address) {
  const auto endpoint = to_endpoint<tcp>({address, dialled_port()});
  Socket socket{loop_.context()};
  ErrorCode error;
  socket.open(endpoint.protocol(), error);
  if (error) {
    last_error_ = "failed to open a socket: " + error.message();
    return;
  }
  if (mark_ != 0 &&
      ::setsockopt(socket.native_handle(), SOL_SOCKET, SO_MARK, &mark_, sizeof mark_) != 0) {
    log_.debug("cannot mark the socket of a connection", {{"errno", errno}});
  }
  const std::size_t index = dialling_.size();
  ++pending_;
  dialling_.push_back(std::move(socket));
  dialling_.back().async_connect(endpoint,
                                 [self = shared_from_this(), index](const ErrorCode& result) {
                                   self->on_dialled(index, result);
                                 });
}

void Dial::on_dialled(std::size_t index, const ErrorCode& error) {
  --pending_;
  if (is_ended_ || winner_) return;
  if (error) {
    last_error_ = "failed to connect to " + dialled_name() + ": " + error.message();
    if (pending_ == 0) finish(last_error_);
    return;
  }
  timer_.reset();
  winner_ = std::move(dialling_[index]);
  ErrorCode ignored;
  for (auto& socket : dialling_) socket.close(ignored);
  winner_->set_option(tcp::no_delay{true}, ignored);
  (void)::setsockopt(winner_->native_handle(), IPPROTO_TCP, TCP_USER_TIMEOUT, &kTcpUserTimeoutMs,
                     sizeof kTcpUserTimeoutMs);
  if (target_.proxy)
    cross_proxy();
  else
    finish({});
}

void Dial::cross_proxy() {
  open_tunnel(*winner_, *target_.proxy, portal::authority_of(target_.host, target_.port),
              [self = shared_from_this()](std::string error) { self->finish(std::move(error)); });
}

void Dial::finish(std::string error) {
  if (is_ended_) return;
  const auto done = std::move(done_);
  auto socket = error.empty() ? std::move(winner_) : std::nullopt;
  if (socket) winner_.reset();
  cancel();
  done(std::move(error), std::move(socket));
}

void Dial::cancel() {
  is_ended_ = true;
  done_ = nullptr;
  timer_.reset();
  ErrorCode ignored;
  for (auto& socket : dialling_) socket.close(ignored);
  if (winner_) winner_->close(ignored);
}

}  // namespace fg::net
