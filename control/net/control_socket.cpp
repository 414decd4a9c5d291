#include "control/net/control_socket.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <cerrno>
#include <optional>
#include <utility>
#include <vector>

namespace fg::net {
namespace {

namespace asio = boost::asio;
using Local = asio::local::stream_protocol;

constexpr mode_t kSocketMode = 0600;
constexpr mode_t kDirectoryMode = 0700;

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  [[nodiscard]] int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

SysError error_of(const char* what) { return {what, errno}; }

std::string directory_of(const std::string& path) {
  const auto slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

// Whether somebody listens at it. Only then a name is left alone.
Result<bool, SysError> is_alive(const sockaddr_un& address) {
  const Descriptor probe{::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
  if (probe.get() < 0) return fail(error_of("open control socket"));
  if (::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 ||
      errno == EAGAIN)
    return true;
  if (errno == ECONNREFUSED || errno == ENOENT) return false;
  return fail(error_of("look at control socket"));
}

struct Place {
  dev_t device = 0;
  ino_t inode = 0;
  friend bool operator==(const Place&, const Place&) = default;
};

std::optional<Place> place_of(const std::string& path) {
  struct stat status{};
  if (::lstat(path.c_str(), &status) != 0) return std::nullopt;
  return Place{status.st_dev, status.st_ino};
}

Result<int, SysError> bind_and_listen(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path)
    return fail(SysError{"control socket path", ENAMETOOLONG});
  path.copy(address.sun_path, path.size());
  const auto directory = directory_of(path);
  if (::mkdir(directory.c_str(), kDirectoryMode) != 0 && errno != EEXIST)
    return fail(error_of("make directory of control socket"));
  // Two gateways that start at once do not take each other's socket for a dead one's.
  const Descriptor guard{::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (guard.get() < 0) return fail(error_of("open directory of control socket"));
  if (::flock(guard.get(), LOCK_EX | LOCK_NB) != 0)
    return fail(error_of("lock directory of control socket"));
  struct stat before{};
  if (::lstat(path.c_str(), &before) == 0) {
    if (!S_ISSOCK(before.st_mode)) return fail(SysError{"bind control socket", EEXIST});
    const auto alive = is_alive(address);
    if (!alive) return fail(alive.error());
    if (*alive) return fail(SysError{"bind control socket", EADDRINUSE});
    (void)::unlink(path.c_str());
  }
  Descriptor fd{::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
  // The mode before the name: it is never there for anyone else (Linux takes over the socket's).
  if (fd.get() < 0 || ::fchmod(fd.get(), kSocketMode) != 0)
    return fail(error_of("open control socket"));
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return fail(error_of("bind control socket"));
  if (::listen(fd.get(), static_cast<int>(kControlConnectionsMax)) != 0)
    return fail(error_of("listen on control socket"));
  return fd.release();
}

}  // namespace

struct ControlSocket::Impl : std::enable_shared_from_this<Impl> {
  Impl(asio::io_context& the_context, std::size_t most, Handler the_handler)
      : context(the_context), line_max(most), handler(std::move(the_handler)) {}

  struct Connection : std::enable_shared_from_this<Connection> {
    explicit Connection(Local::socket the_socket)
        : socket(std::move(the_socket)), timer(socket.get_executor()) {}
    Local::socket socket;
    asio::steady_timer timer;
    std::string asked;
    std::string answer;
    bool is_answered = false;

    void close() {
      boost::system::error_code ignored;
      socket.close(ignored);
      timer.cancel();
    }
    void limit() {
      timer.expires_after(
          std::chrono::duration_cast<std::chrono::steady_clock::duration>(kControlTimeout));
      timer.async_wait([self = shared_from_this()](boost::system::error_code stopped) {
        if (!stopped) self->close();
      });
    }
    void reply(std::string line) {
      if (std::exchange(is_answered, true) || !socket.is_open()) return;
      answer = std::move(line) + "\n";
      limit();
      asio::async_write(
          socket, asio::buffer(answer),
          [self = shared_from_this()](boost::system::error_code, std::size_t) { self->close(); });
    }
  };

  void accept() {
    acceptor->async_accept(
        [self = shared_from_this()](boost::system::error_code error, Local::socket socket) {
          if (error == asio::error::operation_aborted || !self->acceptor) return;
          std::erase_if(self->connections, [](const auto& known) { return known.expired(); });
          // Over the limit the connection is closed at once; the others are served.
          if (!error && self->connections.size() < kControlConnectionsMax)
            self->serve(std::move(socket));
          if (!error) return self->accept();
          // Out of descriptors and the like: not again before a while.
          self->pause.expires_after(std::chrono::seconds{1});
          self->pause.async_wait([self](boost::system::error_code stopped) {
            if (!stopped && self->acceptor) self->accept();
          });
        });
  }

  void serve(Local::socket socket) {
    auto connection = std::make_shared<Connection>(std::move(socket));
    connections.push_back(connection);
    connection->limit();
    asio::async_read_until(
        connection->socket, asio::dynamic_buffer(connection->asked, line_max), '\n',
        [self = shared_from_this(), connection](boost::system::error_code error,
                                                std::size_t length) {
          if (error || !self->acceptor) return connection->close();
          connection->timer.cancel();
          self->handler(connection->asked.substr(0, length - 1),
                        [connection](std::string answer) { connection->reply(std::move(answer)); });
        });
  }

  asio::io_context& context;
  std::size_t line_max;
  Handler handler;
  std::optional<Local::acceptor> acceptor;
  asio::steady_timer pause{context};
  std::vector<std::weak_ptr<Connection>> connections;
  std::string path;
  std::optional<Place> place;
};

ControlSocket::ControlSocket(Loop& loop, std::size_t line_max, Handler handler)
    : impl_(std::make_shared<Impl>(loop.context(), line_max, std::move(handler))) {}

ControlSocket::~ControlSocket() {
  if (!impl_->acceptor) return;
  if (is_in_place()) (void)::unlink(impl_->path.c_str());
  boost::system::error_code ignored;
  impl_->acceptor->close(ignored);
  impl_->acceptor.reset();
  impl_->pause.cancel();
  for (const auto& known : impl_->connections) {
    if (const auto connection = known.lock()) connection->close();
  }
}

Result<void, SysError> ControlSocket::listen(const std::string& path) {
  const auto fd = bind_and_listen(path);
  if (!fd) return fail(fd.error());
  impl_->acceptor.emplace(impl_->context, Local{}, *fd);
  impl_->path = path;
  impl_->place = place_of(path);
  impl_->accept();
  return {};
}

bool ControlSocket::is_in_place() const {
  return impl_->place && place_of(impl_->path) == impl_->place;
}

}  // namespace fg::net
