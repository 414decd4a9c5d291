#include "io/xdp/xdp_port.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <algorithm>

#include "packet/demux.h"

namespace fg::io::xdp {
namespace {

bool is_data(Bytes datagram) noexcept {
  auto kind = packet::classify(datagram);
  if (kind == packet::DatagramKind::channel_data)
    kind = packet::classify(datagram.subspan(packet::kChannelHeader));
  return kind == packet::DatagramKind::wireguard_data;
}

bool watch(const kernel::FileDescriptor& poll, int fd) noexcept {
  epoll_event event{.events = EPOLLIN, .data = {.fd = fd}};
  return ::epoll_ctl(poll.get(), EPOLL_CTL_ADD, fd, &event) == 0;
}

}  // namespace

XdpPort::XdpPort(std::optional<kernel::UdpSocket> v4, std::optional<kernel::UdpSocket> v6,
                 kernel::TunQueue tun)
    : KernelPort(std::move(v4), std::move(v6), std::move(tun)),
      poll_(::epoll_create1(EPOLL_CLOEXEC)),
      wakeup_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  taken_.reserve(kQueuesMax);
  poll_bit_ = add_fd(poll_.get());
  (void)watch(poll_, wakeup_.get());
}

bool XdpPort::post(Change change) {
  if (!changes_.push(change)) return false;
  ring();
  return true;
}

void XdpPort::ring() const noexcept { (void)::eventfd_write(wakeup_.get(), 1); }

bool XdpPort::add(QueueSocket& socket) {
  if (queues_ == kQueuesMax || !post({&socket, true})) return false;
  ++queues_;
  return true;
}

bool XdpPort::remove(QueueSocket& socket) {
  if (!post({&socket, false})) return false;
  --queues_;
  return true;
}

void XdpPort::take_changes() noexcept {
  eventfd_t ignored = 0;
  if (::eventfd_read(wakeup_.get(), &ignored) != 0) return;
  while (const auto* change = changes_.front()) {
    auto* socket = change->socket;
    if (change->is_added) {
      (void)watch(poll_, socket->fd());
      taken_.push_back({socket, false});
    } else {
      for (auto& queue : taken_) queue.is_leaving |= queue.socket == socket;
    }
    changes_.pop();
  }
}

std::span<ReceivedDatagrams> XdpPort::receive(ReadySet ready) noexcept {
  for (const auto& queue : taken_) queue.socket->refill();
  const auto by_socket = KernelPort::receive(ready);
  std::uint64_t data = 0;
  for (const auto& d : by_socket) {
    if (is_data(d.bytes.first(std::min<std::size_t>(d.bytes.size(), d.segment)))) data += d.count();
  }
  if (data != 0) PortCounters::add(counters_.data_by_socket, data);
  if ((ready & poll_bit_) == 0) return by_socket;
  // What waited for a socket is older than what its queue receives since.
  std::ranges::copy(by_socket, batch_.begin());
  const auto room = std::span{batch_}.subspan(by_socket.size());
  take_changes();
  const auto n = receive_from_queues(room.first(kReceiveBatch));
  return std::span{batch_}.first(by_socket.size() + n);
}

std::size_t XdpPort::receive_from_queues(std::span<ReceivedDatagrams> out) noexcept {
  if (taken_.empty()) return 0;
  std::size_t used = 0;
  const auto share = out.size() / taken_.size();  // a busy queue leaves room for the others
  for (std::size_t i = 0; i < taken_.size(); ++i) {
    auto& queue = taken_[(first_ + i) % taken_.size()];
    const auto room = out.subspan(used);
    used += queue.socket->receive(
        room.first(std::min(room.size(), std::max<std::size_t>(share, 1))), drops_);
  }
  first_ = (first_ + 1) % taken_.size();
  std::uint64_t bytes = 0;
  for (const auto& d : out.first(used)) bytes += d.bytes.size();
  PortCounters::add(counters_.receive_calls, 1);
  PortCounters::add(counters_.datagrams_received, used);
  PortCounters::add(counters_.data_by_xdp, used);
  PortCounters::add(counters_.bytes_received, bytes);
  let_go();
  return used;
}

// Nothing is lost when a queue is given up: first what it had received is taken, and the pipeline
// is done with it.
void XdpPort::let_go() noexcept {
  bool has_more = false;
  std::erase_if(taken_, [&](const Queue& queue) {
    if (!queue.is_leaving) return false;
    if (queue.socket->holds_frames()) {
      has_more = true;
      return false;
    }
    (void)::epoll_ctl(poll_.get(), EPOLL_CTL_DEL, queue.socket->fd(), nullptr);
    queue.socket->release();
    return true;
  });
  if (has_more) ring();
}

}  // namespace fg::io::xdp
