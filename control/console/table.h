// A reply as text for people. What others chose (names of resources) is shown without control
// characters, so that no terminal obeys it.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fg::console {

inline constexpr int kWorked = 0;
inline constexpr int kRefused = 1;  // no gateway there, or it refuses
inline constexpr int kUsage = 2;
inline constexpr int kWouldNotPass = 3;

struct Shown {
  std::string text;  // an error when the exit code is kRefused
  int exit_code = kWorked;
};

// None: no reply of this version.
[[nodiscard]] std::optional<Shown> show(std::string_view reply);

// Pages of clients: behind which to ask on, and all of them as one reply.
[[nodiscard]] std::optional<std::string> next_of(std::string_view reply);
[[nodiscard]] std::string join_peers(const std::vector<std::string>& pages);

}  // namespace fg::console
