// Wakes a thread that said it is going to sleep, and costs no system call otherwise. One thread
// sleeps, any may ring.
//
//   sleeper                                  ringer
//     announce();                              make work visible;
//     unless work is visible, wait for fd();   ring();
//     awake(whether fd() is readable);
//
// Both sides change the same flag by one atomic exchange, so either the ringer sees the
// announcement or the sleeper sees the work.
#pragma once

#include <atomic>
#include <optional>

#include "base/spsc_ring.h"
#include "base/sys_error.h"

namespace fg::runtime {

class Doorbell {
 public:
  Doorbell() = default;
  Doorbell(const Doorbell&) = delete;
  Doorbell& operator=(const Doorbell&) = delete;
  ~Doorbell();

  // Before anything else.
  [[nodiscard]] std::optional<SysError> open();

  [[nodiscard]] int fd() const { return fd_; }
  void announce() noexcept { (void)sleeps_.exchange(true, std::memory_order_acq_rel); }
  // Takes the announcement back, and the ring if there was one.
  void awake(bool is_readable) noexcept {
    (void)sleeps_.exchange(false, std::memory_order_acq_rel);
    if (is_readable) drain();
  }
  void ring() noexcept {
    if (sleeps_.exchange(false, std::memory_order_acq_rel)) write();
  }

 private:
  void write() noexcept;
  void drain() noexcept;

  int fd_ = -1;
  alignas(kCacheLines) std::atomic<bool> sleeps_{false};
};

}  // namespace fg::runtime
