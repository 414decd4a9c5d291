#include "io/kernel/kernel_port.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <cerrno>

namespace fg::io::kernel {
namespace {

// Takes the datagrams at the front that are of one family off the batch.
std::span<const OutgoingDatagrams> next_run(std::span<const OutgoingDatagrams>& batch) noexcept {
  std::size_t n = 1;
  while (n < batch.size() && batch[n].to.family() == batch[0].to.family()) ++n;
  const auto run = batch.first(n);
  batch = batch.subspan(n);
  return run;
}

}  // namespace

KernelPort::KernelPort(std::optional<UdpSocket> v4, std::optional<UdpSocket> v6, TunQueue tun)
    : tun_(std::move(tun)) {
  add(v4_, std::move(v4));
  add(v6_, std::move(v6));
  tun_bit_ = add_fd(tun_.fd());
}

ReadySet KernelPort::add_fd(int fd) noexcept {
  fds_[fds_used_] = fd;
  return ReadySet{1} << fds_used_++;
}

void KernelPort::add(std::optional<Udp>& place, std::optional<UdpSocket> socket) {
  if (!socket) return;
  UdpSender sender{socket->fd(), socket->capabilities().segmentation};
  const auto bit = add_fd(socket->fd());
  place.emplace(Udp{std::move(*socket), std::move(sender), bit});
}

std::uint16_t KernelPort::udp_port(Family family) const noexcept {
  const auto& udp = family == Family::v4 ? v4_ : v6_;
  return udp ? udp->socket.port() : std::uint16_t{0};
}

std::span<ReceivedDatagrams> KernelPort::receive(ReadySet ready) noexcept {
  const std::span all{received_};
  const auto n4 = receive_from(v4_, ready, all);
  const auto n6 = receive_from(v6_, ready, all.subspan(n4));
  return all.first(n4 + n6);
}

std::size_t KernelPort::receive_from(std::optional<Udp>& udp, ReadySet ready,
                                     std::span<ReceivedDatagrams> out) noexcept {
  if (!udp || (ready & udp->bit) == 0) return 0;
  int error = 0;
  const auto n = udp->socket.receive(out, error);
  PortCounters::add(counters_.receive_calls, 1);
  if (error != 0) drops_.count(DropReason::udp_receive_failed);
  std::uint64_t datagrams = 0;
  std::uint64_t bytes = 0;
  for (const auto& received : out.first(n)) {
    datagrams += received.count();
    bytes += received.bytes.size();
  }
  PortCounters::add(counters_.datagrams_received, datagrams);
  PortCounters::add(counters_.bytes_received, bytes);
  return n;
}

void KernelPort::send(std::span<const OutgoingDatagrams> batch) noexcept {
  while (!batch.empty()) send_run(next_run(batch));
}

void KernelPort::send_run(std::span<const OutgoingDatagrams> run) noexcept {
  auto& udp = run[0].to.ip.is_v4() ? v4_ : v6_;
  if (!udp) {
    for (const auto& d : run) drops_.count(DropReason::udp_send_failed, d.count());
    return;
  }
  const auto outcome = udp->sender.send(run);
  PortCounters::add(counters_.send_calls, outcome.calls);
  PortCounters::add(counters_.datagrams_sent, outcome.datagrams);
  PortCounters::add(counters_.bytes_sent, outcome.bytes);
  if (outcome.failed != 0) drops_.count(DropReason::udp_send_failed, outcome.failed);
}

std::span<TunRead> KernelPort::read_tun(ReadySet ready) noexcept {
  if ((ready & tun_bit_) == 0) return {};
  int error = 0;
  const auto reads = tun_.read(error);
  if (error != 0) drops_.count(DropReason::tun_read_failed);
  PortCounters::add(counters_.tun_reads, reads.size());
  return reads;
}

bool KernelPort::write_tun(const TunWrite& packet) noexcept {
  const auto written = tun_.write(packet);
  PortCounters::add(counters_.tun_writes, 1);
  if (written < packet.packets)
    drops_.count(DropReason::tun_write_failed, packet.packets - written);
  return written > 0;
}

std::optional<KernelSender::Udp> KernelSender::duplicate(const UdpSocket* socket) {
  if (socket == nullptr) return std::nullopt;
  FileDescriptor fd{::fcntl(socket->fd(), F_DUPFD_CLOEXEC, 0)};
  if (!fd.is_open()) return std::nullopt;
  UdpSender sender{fd.get(), socket->capabilities().segmentation};
  return Udp{std::move(fd), std::move(sender)};
}

KernelSender::KernelSender(const UdpSocket* v4, const UdpSocket* v6)
    : v4_(duplicate(v4)), v6_(duplicate(v6)) {}

bool KernelSender::send(std::span<const OutgoingDatagrams> batch) noexcept {
  bool is_sent = true;
  while (!batch.empty()) is_sent &= send_run(next_run(batch));
  return is_sent;
}

bool KernelSender::send_run(std::span<const OutgoingDatagrams> run) noexcept {
  auto& udp = run[0].to.ip.is_v4() ? v4_ : v6_;
  UdpSender::Outcome outcome;
  if (udp) {
    outcome = udp->sender.send(run);
  } else {
    outcome.error = EAFNOSUPPORT;
    for (const auto& d : run) outcome.failed += d.count();
  }
  if (outcome.failed == 0) return true;
  drops_.count(DropReason::udp_send_failed, outcome.failed);
  last_error_ = outcome.error;
  return false;
}

}  // namespace fg::io::kernel
