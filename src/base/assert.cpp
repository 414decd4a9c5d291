#include "base/assert.h"

#include <atomic>
#include <cstdio>
#include <cstdlib>

namespace fg {
namespace {
std::atomic<std::uint64_t> g_bugs{0};
}

void assert_failed(const char* expression, const char* file, int line) {
  std::fprintf(stderr, "assertion failed: %s (%s:%d)\n", expression, file, line);
  std::abort();
}

void report_bug(const char* what, const char* file, int line) {
  const auto n = g_bugs.fetch_add(1, std::memory_order_relaxed);
  if (std::getenv("FG_ABORT_ON_BUG") != nullptr) assert_failed(what, file, line);
  // The first few say where; after that only the counter grows.
  if (n < 10) std::fprintf(stderr, "bug: %s (%s:%d)\n", what, file, line);
}

std::uint64_t bugs_reported() { return g_bugs.load(std::memory_order_relaxed); }

}  // namespace fg
