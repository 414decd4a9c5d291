// The local socket an operator asks through: a line comes, a line is answered, and the connection
// ends. Only its owner and root may connect. A socket file that a dead process left is replaced,
// one that somebody listens at is not. Bounded in connections, in what is read and in time.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "base/sys_error.h"
#include "base/time.h"
#include "control/net/loop.h"

namespace fg::net {

inline constexpr std::size_t kControlConnectionsMax = 8;
inline constexpr Duration kControlTimeout = 5s;  // to ask, and again to take the answer

class ControlSocket {
 public:
  // Answers once, now or later. Afterwards, or when the asker is gone, it does nothing.
  using Reply = std::function<void(std::string line)>;
  // `line` without its end.
  using Handler = std::function<void(std::string line, Reply reply)>;

  // Lines longer than line_max are refused with a closed connection.
  ControlSocket(Loop& loop, std::size_t line_max, Handler handler);
  ~ControlSocket();  // takes the socket file away
  ControlSocket(const ControlSocket&) = delete;
  ControlSocket& operator=(const ControlSocket&) = delete;

  // Makes the last directory of the path, if it is missing, for its owner alone. EADDRINUSE:
  // somebody listens there; EEXIST: something else has the name.
  Result<void, SysError> listen(const std::string& path);
  // Whether the path still leads here: others may remove the file.
  [[nodiscard]] bool is_in_place() const;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace fg::net
