// What the operating system refused: which operation, and why. Text is made where a person reads
// it.
#pragma once

#include <cstring>
#include <string>

namespace fg {

struct SysError {
  const char* operation = "";  // a literal, e.g. "bind udp v4"
  int error = 0;               // errno

  [[nodiscard]] std::string to_string() const {
    return std::string(operation) + ": " + ::strerrordesc_np(error);
  }
};

}  // namespace fg
