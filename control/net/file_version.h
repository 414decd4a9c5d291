// The state of a file that tells whether it was replaced or edited; all zeros: there is none. For
// the rest of this room only.
#pragma once

#include <sys/stat.h>

#include <array>
#include <cstdint>
#include <string>

namespace fg::net {

using FileVersion = std::array<std::int64_t, 3>;

[[nodiscard]] inline FileVersion version_of(const std::string& path) {
  struct stat info{};
  if (::stat(path.c_str(), &info) != 0) return {};
  return {static_cast<std::int64_t>(info.st_ino), info.st_mtim.tv_sec, info.st_mtim.tv_nsec};
}

}  // namespace fg::net
