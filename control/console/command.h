// The words behind `firegate` that ask a running gateway instead of starting one.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "control/console/request.h"

namespace fg::console {

struct Command {
  Request request;
  bool is_json = false;
  std::optional<std::string> socket;  // --control-socket
};

// Whether the first argument is one of these words.
[[nodiscard]] bool is_command(const std::vector<std::string>& arguments);
// None: help was asked for. The error is one line with the mend.
[[nodiscard]] Result<std::optional<Command>, std::string> parse_command(
    const std::vector<std::string>& arguments);
[[nodiscard]] std::string help();

}  // namespace fg::console
