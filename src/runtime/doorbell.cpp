#include "runtime/doorbell.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

namespace fg::runtime {

Doorbell::~Doorbell() {
  if (fd_ >= 0) ::close(fd_);
}

std::optional<SysError> Doorbell::open() {
  fd_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (fd_ < 0) return SysError{"create eventfd", errno};
  return std::nullopt;
}

void Doorbell::drain() noexcept {
  std::uint64_t count = 0;
  (void)!::read(fd_, &count, sizeof count);
}

void Doorbell::write() noexcept {
  const std::uint64_t one = 1;
  (void)!::write(fd_, &one, sizeof one);
}

}  // namespace fg::runtime
