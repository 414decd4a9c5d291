// The health listener (spec operations 6): GET /healthz says the process lives, GET /readyz whether
// it serves, and if not why: 503 with a line for each reason. HTTP/1.1, bounded in connections,
// request size and time, so that nobody can hold the control thread up.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/result.h"
#include "base/sys_error.h"
#include "control/net/loop.h"

namespace fg::net {

inline constexpr std::size_t kHealthConnectionsMax = 32;
inline constexpr std::size_t kHealthRequestMax = 8192;  // bytes
inline constexpr Duration kHealthTimeout = 5s;

class HealthServer {
 public:
  // Why the process does not serve; empty: it does.
  using Reasons = std::function<std::vector<std::string>()>;

  HealthServer(Loop& loop, Reasons reasons_not_ready);
  ~HealthServer();
  HealthServer(const HealthServer&) = delete;
  HealthServer& operator=(const HealthServer&) = delete;

  // Port 0: any. The error is EADDRINUSE and the like.
  Result<void, SysError> listen(const SocketAddress& address);
  [[nodiscard]] std::uint16_t port() const;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace fg::net
