// Two levels of complaint about ourselves: FG_ASSERT stops the process, FG_BUG counts in production
// and stops in tests. Never use either on bytes from outside, on time passing, or on what another
// machine does.
#pragma once

#include <cstdint>

namespace fg {

[[noreturn]] void assert_failed(const char* expression, const char* file, int line);

// Counts a survivable bug; aborts when FG_ABORT_ON_BUG is set in the environment (every test sets
// it).
void report_bug(const char* what, const char* file, int line);
[[nodiscard]] std::uint64_t bugs_reported();

}  // namespace fg

#define FG_ASSERT(expression) \
  (static_cast<bool>(expression) ? void(0) : ::fg::assert_failed(#expression, __FILE__, __LINE__))
#define FG_BUG(what) ::fg::report_bug(what, __FILE__, __LINE__)
