// A port without a network: datagrams and TUN packets are put in and taken out by the test.
#pragma once

#include <sys/eventfd.h>
#include <unistd.h>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <utility>
#include <vector>

#include "io/port.h"

namespace fg::runtime::testing {

class FakePort final : public io::Port {
 public:
  struct Sent {
    SocketAddress to;
    ByteVector bytes;
  };

  FakePort() : fds_{::eventfd(0, EFD_NONBLOCK), ::eventfd(0, EFD_NONBLOCK)} {}
  ~FakePort() override {
    for (const auto fd : fds_) ::close(fd);
  }

  // ---- the test's side ----
  void deliver(ByteVector datagram, SocketAddress from) {
    const std::lock_guard lock{mutex_};
    datagrams_.push_back({from, std::move(datagram)});
    signal(fds_[0]);
  }
  void deliver_tun(Bytes packet) {
    const std::lock_guard lock{mutex_};
    auto& read = tun_in_.emplace_back(kVnetHeaderSize);
    read.insert(read.end(), packet.begin(), packet.end());
    signal(fds_[1]);
  }
  std::vector<Sent> wait_sent(std::size_t n) { return wait_for(sent_, n); }
  std::vector<ByteVector> wait_tun(std::size_t n) { return wait_for(tun_out_, n); }

  // ---- the worker's side ----
  [[nodiscard]] std::span<const int> wait_fds() const noexcept override { return fds_; }
  std::span<ReceivedDatagrams> receive(io::ReadySet ready) noexcept override {
    if ((ready & 1) == 0) return {};
    const std::lock_guard lock{mutex_};
    clear(fds_[0]);
    held_ = std::exchange(datagrams_, {});
    received_.clear();
    for (auto& d : held_) {
      received_.push_back({.bytes = d.bytes,
                           .segment = static_cast<std::uint16_t>(d.bytes.size()),
                           .ecn = 0,
                           .from = d.to,
                           .local = {}});
    }
    return received_;
  }
  void send(std::span<const OutgoingDatagrams> batch) noexcept override {
    const std::lock_guard lock{mutex_};
    for (const auto& d : batch) {
      for (std::size_t at = 0; at < d.bytes.size(); at += d.segment) {
        sent_.push_back({d.to, copy_of(d.bytes.subspan(
                                   at, std::min<std::size_t>(d.segment, d.bytes.size() - at)))});
      }
    }
    changed_.notify_all();
  }
  std::span<TunRead> read_tun(io::ReadySet ready) noexcept override {
    if ((ready & 2) == 0) return {};
    const std::lock_guard lock{mutex_};
    clear(fds_[1]);
    held_tun_ = std::exchange(tun_in_, {});
    reads_.clear();
    for (auto& p : held_tun_) reads_.push_back({p});
    return reads_;
  }
  bool write_tun(const TunWrite& packet) noexcept override {
    const std::lock_guard lock{mutex_};
    auto& whole = tun_out_.emplace_back();
    for (const auto part : packet.parts) whole.insert(whole.end(), part.begin(), part.end());
    changed_.notify_all();
    return true;
  }
  [[nodiscard]] io::TunOffloads tun_offloads() const noexcept override { return {}; }

 private:
  static void signal(int fd) {
    const std::uint64_t one = 1;
    (void)!::write(fd, &one, sizeof one);
  }
  static void clear(int fd) {
    std::uint64_t count = 0;
    (void)!::read(fd, &count, sizeof count);
  }
  template <class T>
  std::vector<T> wait_for(const std::vector<T>& what, std::size_t n) {
    std::unique_lock lock{mutex_};
    changed_.wait_for(lock, std::chrono::seconds{10}, [&] { return what.size() >= n; });
    return what;
  }

  std::array<int, 2> fds_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Sent> datagrams_;
  std::vector<Sent> held_;
  std::vector<ReceivedDatagrams> received_;
  std::vector<ByteVector> tun_in_;
  std::vector<ByteVector> held_tun_;
  std::vector<TunRead> reads_;
  std::vector<Sent> sent_;
  std::vector<ByteVector> tun_out_;
};

}  // namespace fg::runtime::testing
