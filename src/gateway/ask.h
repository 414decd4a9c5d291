// `firegate status`, `peers` and `explain`: asks the gateway at its control socket and shows the
// answer. Needs no privilege but access to the socket.
#pragma once

#include <string>
#include <vector>

#include "base/time.h"
#include "gateway/configuration.h"

namespace fg::gateway {

inline constexpr std::string_view kControlSocket = "/run/firegate/control.sock";

struct Asked {
  std::string output;  // standard output
  std::string error;   // standard error, one line
  int exit_code = 0;
};
// arguments: without the program's name; console::is_command() of them is true.
[[nodiscard]] Asked ask(const std::vector<std::string>& arguments, const Environment& environment,
                        Duration patience = 10s);

}  // namespace fg::gateway
