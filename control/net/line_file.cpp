#include "control/net/line_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace fg::net {

bool LineFile::append(std::string_view line) {
  if (fd_ < 0 && !open()) return false;
  if (size_ > 0 && size_ + line.size() > bytes_max_) {
    if (::rename(path_.c_str(), (path_ + ".1").c_str()) != 0) return refuse("rename");
    close();
    if (!open()) return false;
  }
  while (!line.empty()) {
    const auto n = ::write(fd_, line.data(), line.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return refuse("write");
    size_ += static_cast<std::uint64_t>(n);
    line.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

bool LineFile::open() {
  fd_ = ::open(path_.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  if (fd_ < 0) return refuse("open");
  struct stat info{};
  size_ = ::fstat(fd_, &info) == 0 ? static_cast<std::uint64_t>(info.st_size) : 0;
  return true;
}

void LineFile::close() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

bool LineFile::refuse(const char* operation) {
  const int error = errno;
  last_error_ = std::string{operation} + " " + path_ + ": " + ::strerrordesc_np(error);
  close();
  return false;
}

}  // namespace fg::net
