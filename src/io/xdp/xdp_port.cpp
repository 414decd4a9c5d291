#include "io/xdp/xdp_port.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <ctime>

#include "packet/demux.h"

namespace fg::io::xdp {
namespace {

bool is_data(Bytes datagram) noexcept {
  auto kind = packet::classify(datagram);
  if (kind == packet::DatagramKind::channel_data)
    kind = packet::classify(datagram.subspan(packet::kChannelHeader));
  return kind == packet::DatagramKind::wireguard_data;
}

// What this thread spent, ns: what others do on the CPU meanwhile is not in it.
std::uint64_t spent_so_far() noexcept {
  timespec t{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<std::uint64_t>(t.tv_sec) * 1'000'000'000U +
         static_cast<std::uint64_t>(t.tv_nsec);
}

bool watch(const kernel::FileDescriptor& poll, int fd) noexcept {
  epoll_event event{.events = EPOLLIN, .data = {.fd = fd}};
  return ::epoll_ctl(poll.get(), EPOLL_CTL_ADD, fd, &event) == 0;
}

}  // namespace

XdpPort::XdpPort(std::optional<kernel::UdpSocket> v4, std::optional<kernel::UdpSocket> v6,
                 kernel::TunQueue tun, SendMode send_mode)
    : KernelPort(std::move(v4), std::move(v6), std::move(tun)),
      poll_(::epoll_create1(EPOLL_CLOEXEC)),
      wakeup_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)),
      send_mode_(send_mode),
      port_v4_(udp_port(Family::v4)),
      port_v6_(udp_port(Family::v6)),
      questions_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
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
      taken_.push_back({.socket = socket});
    } else {
      for (auto& queue : taken_) queue.is_leaving |= queue.socket == socket;
    }
    changes_.pop();
  }
}

std::span<ReceivedDatagrams> XdpPort::receive(ReadySet ready) noexcept {
  for (auto& queue : taken_) {
    queue.socket->refill();
    if (queue.socket->has_unsent()) flush(queue);
  }
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
// is done with it; and what it had to send was sent.
void XdpPort::let_go() noexcept {
  bool has_more = false;
  std::erase_if(taken_, [&](const Queue& queue) {
    if (!queue.is_leaving) return false;
    if (queue.socket->holds_frames() || !queue.socket->finish_sending(drops_)) {
      has_more = true;
      return false;
    }
    (void)::epoll_ctl(poll_.get(), EPOLL_CTL_DEL, queue.socket->fd(), nullptr);
    queue.socket->release();
    return true;
  });
  if (has_more) ring();
}

// ---- sending ----

static_assert(14 + 4 + kIpPacketMax <= kChunk, "link header, tag, packet");

void XdpPort::send(std::span<const OutgoingDatagrams> batch) noexcept {
  if (send_mode_ == SendMode::off || taken_.empty()) return KernelPort::send(batch);
  while (!batch.empty()) {
    const auto n = std::min(batch.size(), kSendBatch);
    send_some(batch.first(n));
    batch = batch.subspan(n);
  }
}

XdpPort::Exit XdpPort::exit_of(const OutgoingDatagrams& datagrams) noexcept {
  const auto* way = next_hops_.find(datagrams);
  if (way == nullptr) return {};
  if (std::min<std::size_t>(datagrams.segment, datagrams.bytes.size()) > way->header.payload_max())
    return {};
  for (auto& queue : taken_) {
    if (queue.socket->interface() == way->interface && !queue.is_leaving &&
        queue.socket->can_send())
      return {&way->header, &queue};
  }
  return {};
}

void XdpPort::send_some(std::span<const OutgoingDatagrams> batch) noexcept {
  std::array<Exit, kSendBatch> exits{};
  std::size_t datagrams = 0;
  std::size_t by_queue = 0;
  Queue* only = nullptr;  // the one that it could leave by; none: there are two
  bool is_divided = false;
  next_hops_.refresh(port_v4_, port_v6_);
  for (std::size_t i = 0; i < batch.size(); ++i) {
    exits[i] = exit_of(batch[i]);
    datagrams += batch[i].count();
    if (exits[i].queue == nullptr) continue;
    is_divided |= by_queue++ != 0 && exits[i].queue != only;
    only = exits[i].queue;
  }
  // What the sockets take in either case tells nothing of a difference.
  if (is_divided || 2 * by_queue < batch.size()) only = nullptr;
  if (next_hops_.has_asked()) (void)::eventfd_write(questions_.get(), 1);
  counters_.next_hops_crowded.store(next_hops_.crowded(), std::memory_order_relaxed);
  if (by_queue == 0) return KernelPort::send(batch);

  const auto chosen = std::span{exits}.first(batch.size());
  if (send_mode_ == SendMode::on) return send_by(chosen, batch);
  const auto shape = shape_of(datagrams, batch.size());
  const auto choice_of = [shape](Queue& queue) -> SendChoice& {
    return queue.choices[static_cast<std::size_t>(shape)];
  };
  const bool is_measured = only != nullptr && choice_of(*only).is_measuring();
  const auto way = is_measured ? choice_of(*only).way() : SendWay::socket;
  for (auto& exit : chosen) {
    if (exit.queue != nullptr &&
        (is_measured ? way : choice_of(*exit.queue).decided()) == SendWay::socket)
      exit.queue = nullptr;
  }
  if (!is_measured) {
    send_by(chosen, batch);
    if (only != nullptr) choice_of(*only).sent();
    return;
  }
  const auto before = spent_so_far();
  send_by(chosen, batch);
  auto& choice = choice_of(*only);
  choice.spent(way, static_cast<std::uint32_t>((spent_so_far() - before) / datagrams));
  if (!choice.is_measuring())
    only->socket->set_verdict(shape, {.way = choice.decided(), .costs = *choice.costs()});
}

void XdpPort::send_by(std::span<const Exit> exits,
                      std::span<const OutgoingDatagrams> batch) noexcept {
  for (std::size_t at = 0; at < batch.size();) {
    if (exits[at].queue != nullptr) {
      send_frames(exits[at], batch[at]);
      ++at;
      continue;
    }
    const auto first = at;
    while (at < batch.size() && exits[at].queue == nullptr) ++at;
    KernelPort::send(batch.subspan(first, at - first));
  }
  for (auto& queue : taken_) {
    if (queue.is_begun) flush(queue);
  }
}

void XdpPort::send_frames(const Exit& exit, const OutgoingDatagrams& datagrams) noexcept {
  auto& socket = *exit.queue->socket;
  auto rest = datagrams.bytes;
  std::uint64_t sent = 0;
  while (!rest.empty() && begin(*exit.queue)) {
    const auto frame = socket.next_frame();
    if (frame.empty()) {
      // Copies are made at once, and their frames are free again.
      flush(*exit.queue);
      if (!begin(*exit.queue) || socket.next_frame().empty()) break;
      continue;
    }
    const auto one = rest.first(std::min<std::size_t>(rest.size(), datagrams.segment));
    socket.commit_frame(exit.header->write(one, datagrams.ecn, frame.data()));
    rest = rest.subspan(one.size());
    ++sent;
  }
  PortCounters::add(counters_.sent_by_xdp, sent);
  PortCounters::add(counters_.datagrams_sent, sent);
  PortCounters::add(counters_.bytes_sent, datagrams.bytes.size() - rest.size());
  if (rest.empty()) return;
  auto left = datagrams;
  left.bytes = rest;
  PortCounters::add(counters_.send_frames_short, left.count());
  KernelPort::send({&left, 1});
}

bool XdpPort::begin(Queue& queue) noexcept {
  if (!queue.is_begun) queue.is_begun = queue.socket->begin_sending(drops_);
  return queue.is_begun;
}

void XdpPort::flush(Queue& queue) noexcept {
  queue.is_begun = false;
  queue.socket->flush(drops_);
  PortCounters::add(counters_.send_calls, 1);
  if (queue.socket->has_unsent()) ring();
}

}  // namespace fg::io::xdp
