// Values that must never be printed, copied by accident or left behind in memory: keys, pre-shared
// keys, passwords, tokens. No stream operator, no to_string, wiped on destruction and when moved
// from.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"

namespace fg {

inline void wipe(MutableBytes bytes) {
  if (!bytes.empty()) ::explicit_bzero(bytes.data(), bytes.size());
}

// Time depends on the lengths only.
[[nodiscard]] inline bool equal_constant_time(Bytes a, Bytes b) {
  if (a.size() != b.size()) return false;
  std::uint8_t difference = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    difference = static_cast<std::uint8_t>(difference | (a[i] ^ b[i]));
  volatile std::uint8_t result = difference;
  return result == 0;
}

template <std::size_t N>
class Secret {
 public:
  Secret() = default;
  explicit Secret(const std::array<std::uint8_t, N>& bytes) : bytes_(bytes) {}
  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;
  Secret(Secret&& other) noexcept : bytes_(other.bytes_) { other.clear(); }
  Secret& operator=(Secret&& other) noexcept {
    if (this != &other) {
      bytes_ = other.bytes_;
      other.clear();
    }
    return *this;
  }
  ~Secret() { clear(); }

  static std::optional<Secret> from_bytes(Bytes bytes) {
    if (bytes.size() != N) return std::nullopt;
    Secret out;
    std::memcpy(out.bytes_.data(), bytes.data(), N);
    return out;
  }
  // Deliberate and visible at the call.
  [[nodiscard]] Secret copy() const { return Secret{bytes_}; }
  void clear() { wipe(bytes_); }

  [[nodiscard]] Bytes expose() const { return bytes_; }
  [[nodiscard]] MutableBytes expose_mutable() { return bytes_; }
  [[nodiscard]] const std::uint8_t* data() const { return bytes_.data(); }
  [[nodiscard]] std::uint8_t* data() { return bytes_.data(); }
  static constexpr std::size_t size() { return N; }

  friend bool operator==(const Secret& a, const Secret& b) {
    return equal_constant_time(a.bytes_, b.bytes_);
  }

 private:
  std::array<std::uint8_t, N> bytes_{};
};

// A password or token. Copyable because credentials are values of messages; still wiped and never
// printable.
class SecretText {
 public:
  SecretText() = default;
  explicit SecretText(std::string text) : text_(std::move(text)) {}
  SecretText(const SecretText&) = default;
  SecretText& operator=(const SecretText& other) {
    if (this != &other) {
      clear();
      text_ = other.text_;
    }
    return *this;
  }
  SecretText(SecretText&& other) noexcept : text_(other.text_) { other.clear(); }
  SecretText& operator=(SecretText&& other) noexcept {
    if (this != &other) {
      clear();
      text_ = other.text_;
      other.clear();
    }
    return *this;
  }
  ~SecretText() { clear(); }

  [[nodiscard]] const std::string& expose() const { return text_; }
  [[nodiscard]] bool empty() const { return text_.empty(); }
  void clear() {
    if (!text_.empty()) ::explicit_bzero(text_.data(), text_.size());
    text_.clear();
  }
  friend bool operator==(const SecretText& a, const SecretText& b) {
    return equal_constant_time(as_bytes(a.text_), as_bytes(b.text_));
  }

 private:
  std::string text_;
};

}  // namespace fg
