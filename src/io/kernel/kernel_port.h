// A worker's port over kernel sockets: its UDP socket of each family and its queue of the TUN
// device.
#pragma once

#include <array>
#include <optional>

#include "io/kernel/tun_device.h"
#include "io/kernel/udp_sender.h"
#include "io/kernel/udp_socket.h"
#include "io/port.h"

namespace fg::io::kernel {

class KernelPort : public Port {
 public:
  KernelPort(std::optional<UdpSocket> v4, std::optional<UdpSocket> v6, TunQueue tun);

  [[nodiscard]] std::span<const int> wait_fds() const noexcept override {
    return {fds_.data(), fds_used_};
  }
  std::span<ReceivedDatagrams> receive(ReadySet ready) noexcept override;
  void send(std::span<const OutgoingDatagrams> batch) noexcept override;
  std::span<TunRead> read_tun(ReadySet ready) noexcept override;
  bool write_tun(const TunWrite& packet) noexcept override;
  [[nodiscard]] TunOffloads tun_offloads() const noexcept override { return tun_.offloads(); }

 protected:
  // One more descriptor to wait for; its bit. Before anyone waits.
  ReadySet add_fd(int fd) noexcept;
  // That datagrams of a family come from; 0: there is no socket.
  [[nodiscard]] std::uint16_t udp_port(Family family) const noexcept;

 private:
  struct Udp {
    UdpSocket socket;
    UdpSender sender;
    ReadySet bit;
  };
  void add(std::optional<Udp>& place, std::optional<UdpSocket> socket);
  std::size_t receive_from(std::optional<Udp>& udp, ReadySet ready,
                           std::span<ReceivedDatagrams> out) noexcept;
  void send_run(std::span<const OutgoingDatagrams> run) noexcept;

  std::optional<Udp> v4_;
  std::optional<Udp> v6_;
  TunQueue tun_;
  ReadySet tun_bit_ = 0;
  std::array<int, 4> fds_{};
  std::size_t fds_used_ = 0;
  std::array<ReceivedDatagrams, 2 * UdpSocket::kReceiveBatch> received_{};
};

// The control thread's sender, over duplicates of the first worker's sockets.
class KernelSender final : public DatagramSender {
 public:
  KernelSender(const UdpSocket* v4, const UdpSocket* v6);
  bool send(std::span<const OutgoingDatagrams> batch) noexcept override;

 private:
  bool send_run(std::span<const OutgoingDatagrams> run) noexcept;
  struct Udp {
    FileDescriptor fd;
    UdpSender sender;
  };
  static std::optional<Udp> duplicate(const UdpSocket* socket);
  std::optional<Udp> v4_;
  std::optional<Udp> v6_;
};

}  // namespace fg::io::kernel
