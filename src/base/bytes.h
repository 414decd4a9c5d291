// Borrowed bytes and the two cursors over them. Network byte order unless the name says otherwise.
// A failed read or write yields zeros, sets a sticky flag and never moves past the end, so parsing
// code is linear with one check at its end.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

namespace fg {

using Bytes = std::span<const std::uint8_t>;
using MutableBytes = std::span<std::uint8_t>;
using ByteVector = std::vector<std::uint8_t>;

[[nodiscard]] inline Bytes as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}
[[nodiscard]] inline std::string_view as_text(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
[[nodiscard]] inline ByteVector copy_of(Bytes bytes) { return {bytes.begin(), bytes.end()}; }
[[nodiscard]] inline bool equal(Bytes a, Bytes b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin());
}

// Unaligned loads and stores at a known-good offset. The caller has checked the length.
[[nodiscard]] inline std::uint16_t load_be16(const std::uint8_t* p) {
  return static_cast<std::uint16_t>(p[0] << 8 | p[1]);
}
[[nodiscard]] inline std::uint32_t load_be32(const std::uint8_t* p) {
  return std::uint32_t{p[0]} << 24 | std::uint32_t{p[1]} << 16 | std::uint32_t{p[2]} << 8 | p[3];
}
[[nodiscard]] inline std::uint64_t load_be64(const std::uint8_t* p) {
  return std::uint64_t{load_be32(p)} << 32 | load_be32(p + 4);
}
[[nodiscard]] inline std::uint32_t load_le32(const std::uint8_t* p) {
  return std::uint32_t{p[3]} << 24 | std::uint32_t{p[2]} << 16 | std::uint32_t{p[1]} << 8 | p[0];
}
[[nodiscard]] inline std::uint64_t load_le64(const std::uint8_t* p) {
  return std::uint64_t{load_le32(p + 4)} << 32 | load_le32(p);
}
inline void store_be16(std::uint8_t* p, std::uint16_t v) {
  p[0] = static_cast<std::uint8_t>(v >> 8);
  p[1] = static_cast<std::uint8_t>(v);
}
inline void store_be32(std::uint8_t* p, std::uint32_t v) {
  store_be16(p, static_cast<std::uint16_t>(v >> 16));
  store_be16(p + 2, static_cast<std::uint16_t>(v));
}
inline void store_be64(std::uint8_t* p, std::uint64_t v) {
  store_be32(p, static_cast<std::uint32_t>(v >> 32));
  store_be32(p + 4, static_cast<std::uint32_t>(v));
}
inline void store_le32(std::uint8_t* p, std::uint32_t v) {
  for (int i = 0; i < 4; ++i) p[i] = static_cast<std::uint8_t>(v >> (8 * i));
}
inline void store_le64(std::uint8_t* p, std::uint64_t v) {
  for (int i = 0; i < 8; ++i) p[i] = static_cast<std::uint8_t>(v >> (8 * i));
}

class ByteReader {
 public:
  explicit ByteReader(Bytes bytes) : bytes_(bytes) {}

  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] std::size_t remaining() const { return bytes_.size() - at_; }
  [[nodiscard]] std::size_t position() const { return at_; }

  std::uint8_t u8() { return take(1) ? bytes_[at_ - 1] : std::uint8_t{0}; }
  std::uint16_t be16() { return take(2) ? load_be16(last(2)) : std::uint16_t{0}; }
  std::uint32_t be32() { return take(4) ? load_be32(last(4)) : std::uint32_t{0}; }
  std::uint64_t be64() { return take(8) ? load_be64(last(8)) : std::uint64_t{0}; }
  std::uint32_t le32() { return take(4) ? load_le32(last(4)) : std::uint32_t{0}; }
  std::uint64_t le64() { return take(8) ? load_le64(last(8)) : std::uint64_t{0}; }

  template <std::size_t N>
  std::array<std::uint8_t, N> array() {
    std::array<std::uint8_t, N> out{};
    if (take(N)) std::memcpy(out.data(), last(N), N);
    return out;
  }
  // A view into the input; empty after a failure.
  Bytes bytes(std::size_t n) { return take(n) ? bytes_.subspan(at_ - n, n) : Bytes{}; }
  Bytes rest() { return bytes(remaining()); }
  void skip(std::size_t n) { (void)take(n); }

 private:
  bool take(std::size_t n) {
    if (!ok_ || n > bytes_.size() - at_) {
      ok_ = false;
      return false;
    }
    at_ += n;
    return true;
  }
  [[nodiscard]] const std::uint8_t* last(std::size_t n) const { return bytes_.data() + at_ - n; }

  Bytes bytes_;
  std::size_t at_ = 0;
  bool ok_ = true;
};

// Writes into a fixed buffer; ok() turns false when something did not fit, and nothing is written
// from then on.
class ByteWriter {
 public:
  explicit ByteWriter(MutableBytes buffer) : buffer_(buffer) {}

  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] std::size_t size() const { return at_; }
  [[nodiscard]] Bytes written() const { return buffer_.first(at_); }
  [[nodiscard]] MutableBytes written_mutable() { return buffer_.first(at_); }

  void u8(std::uint8_t v) {
    if (auto* p = grow(1)) *p = v;
  }
  void be16(std::uint16_t v) {
    if (auto* p = grow(2)) store_be16(p, v);
  }
  void be32(std::uint32_t v) {
    if (auto* p = grow(4)) store_be32(p, v);
  }
  void be64(std::uint64_t v) {
    if (auto* p = grow(8)) store_be64(p, v);
  }
  void le32(std::uint32_t v) {
    if (auto* p = grow(4)) store_le32(p, v);
  }
  void le64(std::uint64_t v) {
    if (auto* p = grow(8)) store_le64(p, v);
  }
  void bytes(Bytes v) {
    if (v.empty()) return;
    if (auto* p = grow(v.size())) std::memcpy(p, v.data(), v.size());
  }
  void zeros(std::size_t n) {
    if (n == 0) return;
    if (auto* p = grow(n)) std::memset(p, 0, n);
  }
  // Overwrites two bytes already written (a length field known only at the end).
  void patch_be16(std::size_t at, std::uint16_t v) {
    if (ok_ && at + 2 <= at_) store_be16(buffer_.data() + at, v);
  }

 private:
  std::uint8_t* grow(std::size_t n) {
    if (!ok_ || n > buffer_.size() - at_) {
      ok_ = false;
      return nullptr;
    }
    at_ += n;
    return buffer_.data() + at_ - n;
  }

  MutableBytes buffer_;
  std::size_t at_ = 0;
  bool ok_ = true;
};

}  // namespace fg
