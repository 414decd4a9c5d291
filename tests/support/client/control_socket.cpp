#include "tests/support/client/control_socket.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace fg::client {

using io::kernel::FileDescriptor;

Result<void, SysError> ControlSocket::listen(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return fail(SysError{"control socket path", ENAMETOOLONG});
  path.copy(address.sun_path, path.size());
  (void)::unlink(path.c_str());
  listener_ = FileDescriptor{::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
  if (!listener_.is_open()) return fail(SysError{"open control socket", errno});
  if (::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    return fail(SysError{"bind control socket", errno});
  }
  if (::listen(listener_.get(), 8) != 0) return fail(SysError{"listen on control socket", errno});
  path_ = path;
  loop_.watch(listener_.get(), [this] { accept(); });
  return {};
}

ControlSocket::~ControlSocket() {
  if (!listener_.is_open()) return;
  loop_.unwatch(listener_.get());
  for (auto& [fd, client] : clients_) loop_.unwatch(fd);
  (void)::unlink(path_.c_str());
}

void ControlSocket::accept() {
  FileDescriptor fd{::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)};
  if (!fd.is_open() || clients_.size() >= kClientsMax) return;
  const int number = fd.get();
  clients_[number] = {std::move(fd), {}};
  loop_.watch(number, [this, number] { read(number); });
}

void ControlSocket::read(int fd) {
  const auto at = clients_.find(fd);
  if (at == clients_.end()) return;
  auto& buffer = at->second.buffer;
  std::array<char, 4096> chunk;  // NOLINT: filled by read
  const auto n = ::read(fd, chunk.data(), chunk.size());
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0 || buffer.size() + static_cast<std::size_t>(n) > kLineMax) return close(fd);
  buffer.append(chunk.data(), static_cast<std::size_t>(n));
  for (auto end = buffer.find('\n'); end != std::string::npos; end = buffer.find('\n')) {
    const auto answer = answer_(std::string_view{buffer}.substr(0, end)) + "\n";
    buffer.erase(0, end + 1);
    // A reader that does not read loses its connection.
    if (::send(fd, answer.data(), answer.size(), MSG_NOSIGNAL) !=
        static_cast<ssize_t>(answer.size()))
      return close(fd);
  }
}

void ControlSocket::close(int fd) {
  loop_.unwatch(fd);
  clients_.erase(fd);
}

}  // namespace fg::client
