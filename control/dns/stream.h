// DNS over a byte stream: every message has its length in front (RFC 1035 §4.2.2).
#pragma once

#include <optional>

#include "base/bytes.h"

namespace fg::dns {

inline constexpr std::size_t kLengthSize = 2;

[[nodiscard]] ByteVector framed(Bytes message);

// Whoever reads stops at the first whole message, so that no more than one and a read waits here.
class StreamReader {
 public:
  void append(Bytes bytes) { bytes_.insert(bytes_.end(), bytes.begin(), bytes.end()); }
  // The first message, once all of it has come.
  [[nodiscard]] std::optional<ByteVector> poll_message();

 private:
  ByteVector bytes_;
};

}  // namespace fg::dns
