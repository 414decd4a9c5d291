// Where the recordings of real peers are: FG_SHARED, or "shared" beside the repository.
#pragma once

#include <cstdlib>
#include <filesystem>

namespace fg::test {

inline std::filesystem::path recordings() {
  const char* shared = std::getenv("FG_SHARED");
  const auto root = shared != nullptr ? std::filesystem::path{shared}
                                      : std::filesystem::path{FG_SOURCE_DIR} / "../shared";
  return root / "recordings";
}

}  // namespace fg::test
