#include "control/dns/stream.h"

#include "base/assert.h"
#include "control/dns/message.h"

namespace fg::dns {

ByteVector framed(Bytes message) {
  FG_ASSERT(message.size() <= kMessageMax);
  ByteVector out(kLengthSize + message.size());
  store_be16(out.data(), static_cast<std::uint16_t>(message.size()));
  std::ranges::copy(message, out.begin() + kLengthSize);
  return out;
}

std::optional<ByteVector> StreamReader::poll_message() {
  ByteReader in{bytes_};
  const auto message = in.bytes(in.be16());
  if (!in.ok()) return std::nullopt;
  auto out = copy_of(message);
  bytes_.erase(bytes_.begin(), bytes_.begin() + static_cast<std::ptrdiff_t>(in.position()));
  return out;
}

}  // namespace fg::dns
