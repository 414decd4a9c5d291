#include "gateway/ask.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <array>
#include <cerrno>

#include "base/result.h"
#include "base/sys_error.h"
#include "control/console/command.h"
#include "control/console/table.h"
#include "io/kernel/file_descriptor.h"

namespace fg::gateway {
namespace {

using io::kernel::FileDescriptor;

constexpr std::size_t kAnswerMax = 64U << 20;

std::string unreachable(const std::string& path, int error) {
  const auto at = "no gateway at " + path + ": ";
  switch (error) {
    case ENOENT:
      return at +
             "no such socket; check that one runs (its log begins with 'started logging') and that "
             "FIREGATE_CONTROL_SOCKET or --control-socket names its path";
    case ECONNREFUSED:
      return at + "nobody listens; the process that made the socket has ended: start the gateway";
    case EACCES:
    case EPERM:
      return at + "permission denied; run this as root or as the user the gateway runs as";
    case EAGAIN:
    case ECONNRESET:
    case EPIPE:
      return at +
             "it does not answer; its control thread is stopped or too many ask at once: try "
             "again, "
             "then see its log";
    case ENAMETOOLONG:
      return at + "the path is longer than a socket's may be, 107 characters";
    default:
      return at + SysError{"ask", error}.to_string();
  }
}

// The errno otherwise.
Result<std::string, int> exchange(const std::string& path, const std::string& request,
                                  Duration patience) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return fail(ENAMETOOLONG);
  path.copy(address.sun_path, path.size());
  const FileDescriptor fd{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  if (!fd.is_open()) return fail(int{errno});
  const auto whole = std::chrono::duration_cast<std::chrono::microseconds>(patience).count();
  const timeval limit{whole / 1'000'000, whole % 1'000'000};
  for (const int option : {SO_RCVTIMEO, SO_SNDTIMEO})
    (void)::setsockopt(fd.get(), SOL_SOCKET, option, &limit, sizeof limit);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return fail(int{errno});
  const auto line = request + "\n";
  if (::send(fd.get(), line.data(), line.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(line.size()))
    return fail(int{errno});
  std::string out;
  std::array<char, 65536> chunk{};
  while (out.size() < kAnswerMax) {
    const auto n = ::recv(fd.get(), chunk.data(), chunk.size(), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(int{errno});
    if (n == 0) break;
    out.append(chunk.data(), static_cast<std::size_t>(n));
  }
  // A line without its end was cut: too many asked, or the gateway ended meanwhile.
  if (!out.ends_with('\n')) return fail(EAGAIN);
  out.pop_back();
  return out;
}

Result<std::string, int> exchange_all(const std::string& path, const console::Request& request,
                                      Duration patience) {
  auto answer = exchange(path, console::write_request(request), patience);
  if (!answer || !std::holds_alternative<console::AskPeers>(request)) return answer;
  auto next = console::next_of(*answer);
  if (!next) return answer;
  std::vector<std::string> pages{std::move(*answer)};
  while (next) {
    const console::AskPeers more{ClientId::parse(*next)};
    if (!more.after) break;
    auto page = exchange(path, console::write_request(more), patience);
    if (!page) return page;
    next = console::next_of(*page);
    pages.push_back(std::move(*page));
  }
  return console::join_peers(pages);
}

}  // namespace

Asked ask(const std::vector<std::string>& arguments, const Environment& environment,
          Duration patience) {
  auto command = console::parse_command(arguments);
  if (!command) return {"", command.error(), console::kUsage};
  if (!*command) return {console::help(), "", console::kWorked};
  auto path = (*command)->socket;
  if (!path) path = environment.get("FIREGATE_CONTROL_SOCKET");
  if (!path || path->empty()) path = std::string(kControlSocket);
  if (*path == "off")
    return {"", "FIREGATE_CONTROL_SOCKET=off: the gateway offers none", console::kRefused};
  const auto answer = exchange_all(*path, (*command)->request, patience);
  if (!answer) return {"", unreachable(*path, answer.error()), console::kRefused};
  auto shown = console::show(*answer);
  if (!shown) {
    return {"", "the gateway at " + *path + " is of another version: use the program it runs",
            console::kRefused};
  }
  if ((*command)->is_json) return {*answer + "\n", "", shown->exit_code};
  if (shown->exit_code == console::kRefused) return {"", shown->text, shown->exit_code};
  return {shown->text, "", shown->exit_code};
}

}  // namespace fg::gateway
