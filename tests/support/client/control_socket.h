// Newline-delimited JSON over a UNIX stream socket: one command a line, one answer a line.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/sys_error.h"
#include "control/net/loop.h"
#include "io/kernel/file_descriptor.h"

namespace fg::client {

class ControlSocket {
 public:
  static constexpr std::size_t kLineMax = 65'536;
  static constexpr std::size_t kClientsMax = 32;

  ControlSocket(net::Loop& loop, std::function<std::string(std::string_view line)> answer)
      : loop_(loop), answer_(std::move(answer)) {}
  ~ControlSocket();
  ControlSocket(const ControlSocket&) = delete;
  ControlSocket& operator=(const ControlSocket&) = delete;

  Result<void, SysError> listen(const std::string& path);

 private:
  struct Client {
    io::kernel::FileDescriptor fd;
    std::string buffer;
  };
  void accept();
  void read(int fd);
  void close(int fd);

  net::Loop& loop_;
  std::function<std::string(std::string_view)> answer_;
  std::string path_;
  io::kernel::FileDescriptor listener_;
  std::map<int, Client> clients_;
};

}  // namespace fg::client
