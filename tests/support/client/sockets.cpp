#include "tests/support/client/sockets.h"

#include <cerrno>

namespace fg::client {

using io::kernel::UdpOptions;
using io::kernel::UdpSender;
using io::kernel::UdpSocket;

Result<Sockets, SysError> Sockets::open(std::uint16_t port, std::uint32_t mark) {
  Sockets out;
  out.received_.resize(UdpSocket::kReceiveBatch);
  SysError error{};
  for (const auto family : {Family::v4, Family::v6}) {
    UdpOptions options{.family = family, .port = port, .mark = mark};
    auto socket = UdpSocket::open(options);
    if (!socket && socket.error().error == EADDRINUSE) {
      options.port = 0;
      socket = UdpSocket::open(options);
    }
    if (!socket) {
      error = socket.error();
      continue;
    }
    UdpSender sender{socket->fd(), socket->capabilities().segmentation};
    (family == Family::v4 ? out.v4_ : out.v6_).emplace(Udp{std::move(*socket), std::move(sender)});
  }
  if (!out.v4_ && !out.v6_) return fail(error);
  return out;
}

std::vector<int> Sockets::fds() const {
  std::vector<int> out;
  for (const auto* udp : {&v4_, &v6_}) {
    if (*udp) out.push_back((*udp)->socket.fd());
  }
  return out;
}

std::span<ReceivedDatagrams> Sockets::receive(int fd) {
  for (auto* udp : {&v4_, &v6_}) {
    if (!*udp || (*udp)->socket.fd() != fd) continue;
    int error = 0;
    const auto n = (*udp)->socket.receive(received_, error);
    return std::span{received_}.first(n);
  }
  return {};
}

void Sockets::send(std::span<const OutgoingDatagrams> batch) {
  if (batch.empty()) return;
  auto& udp = batch[0].to.ip.is_v4() ? v4_ : v6_;
  if (udp) {
    failed_ += udp->sender.send(batch).failed;
  } else {
    failed_ += batch.size();
  }
}

}  // namespace fg::client
