// Answers what an operator asks a running gateway (control/console) over its control socket. What
// only workers know is asked of them first; who does not answer in time is left out.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/log.h"
#include "base/time.h"
#include "control/console/request.h"
#include "control/console/status.h"
#include "control/controller/controller.h"
#include "control/net/control_socket.h"
#include "control/net/loop.h"

namespace fg::gateway {

inline constexpr Duration kTrafficWait = 500ms;

class OperatorConsole {
 public:
  using StatusNow = std::function<console::Status()>;
  // Everything outlives the console. An empty path: nothing is offered.
  OperatorConsole(net::Loop& loop, Log log, std::string path, controller::Controller& controller,
                  StatusNow status_now);

  // Offers the socket unless it stands; to be repeated. The gateway works on without.
  void keep_offered();
  // Answers what had to wait for the workers.
  void on_turn(Instant now);
  [[nodiscard]] std::optional<Instant> wakeup() const;

 private:
  struct Waiting {
    console::Request request;
    net::ControlSocket::Reply reply;
    std::optional<Instant> until;  // the workers are asked
  };

  void on_line(const std::string& line, net::ControlSocket::Reply reply);
  // The clients whose traffic the answer tells.
  [[nodiscard]] std::vector<ClientId> concerned(const console::Request& request) const;
  [[nodiscard]] std::string answer(const console::AskStatus& ask) const;
  [[nodiscard]] std::string answer(const console::AskPeers& ask) const;
  [[nodiscard]] std::string answer(const console::AskPeer& ask) const;
  [[nodiscard]] std::string answer(const console::AskExplain& ask) const;
  [[nodiscard]] console::Clock clock() const { return {loop_.now(), loop_.wall_now()}; }

  net::Loop& loop_;
  Log log_;
  std::string path_;
  controller::Controller& controller_;
  StatusNow status_now_;
  std::unique_ptr<net::ControlSocket> socket_;
  bool is_missing_said_ = false;
  std::deque<Waiting> waiting_;  // at most one for each connection
};

}  // namespace fg::gateway
