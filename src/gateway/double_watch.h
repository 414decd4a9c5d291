// Whether another host logs in with our identity: the portal then refuses us as already connected,
// without an end. A crash leaves it with our old socket for a while, too.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/time.h"

namespace fg::gateway {

class DoubleWatch {
 public:
  static constexpr std::string_view kConflict = "status 409";  // spec portal 1.5
  static constexpr Duration kAfter = 10s;

  // True once, when nothing but conflicts was heard for kAfter.
  bool on_disconnected(std::string_view reason, Instant now) {
    if (reason.find(kConflict) == std::string_view::npos) {
      since_.reset();
      return false;
    }
    if (!since_) since_ = now;
    if (now - *since_ < kAfter || is_said_) return false;
    is_said_ = true;
    return true;
  }
  void on_joined() { *this = {}; }

 private:
  std::optional<Instant> since_;
  bool is_said_ = false;
};

// `id_source`: where this host's identity is from.
inline std::string double_mend(const std::string& id_source) {
  return "if this does not end within minutes, another host uses the same identity (" + id_source +
         "; cloned machines share it): set FIREZONE_ID to a value of its own on each host";
}

}  // namespace fg::gateway
