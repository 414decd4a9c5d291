#include "base/encoding.h"

namespace fg {
namespace {

constexpr std::string_view kBase64 =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::string_view kBase64Url =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

std::optional<ByteVector> decode_sixes(std::string_view text, std::string_view alphabet) {
  if (text.size() % 4 == 1) return std::nullopt;
  ByteVector out;
  out.reserve(text.size() * 3 / 4);
  std::uint32_t bits = 0;
  int held = 0;
  for (const char c : text) {
    const auto value = alphabet.find(c);
    if (value == std::string_view::npos) return std::nullopt;
    bits = bits << 6 | static_cast<std::uint32_t>(value);
    held += 6;
    if (held >= 8) {
      held -= 8;
      out.push_back(static_cast<std::uint8_t>(bits >> held));
      bits &= (1U << held) - 1;
    }
  }
  if (bits != 0) return std::nullopt;
  return out;
}

// A digit for each so many bits; the last one is filled up with zeros.
template <int bits_a_digit>
std::string encode(Bytes bytes, std::string_view alphabet) {
  std::string out;
  std::uint32_t bits = 0;
  int held = 0;
  const auto mask = (1U << bits_a_digit) - 1;
  for (const auto b : bytes) {
    bits = bits << 8 | b;
    held += 8;
    while (held >= bits_a_digit) {
      held -= bits_a_digit;
      out += alphabet[(bits >> held) & mask];
    }
  }
  if (held > 0) out += alphabet[(bits << (bits_a_digit - held)) & mask];
  return out;
}

}  // namespace

std::string base64_unpadded(Bytes bytes) { return encode<6>(bytes, kBase64); }

std::string base64(Bytes bytes) {
  std::string out = base64_unpadded(bytes);
  while (out.size() % 4 != 0) out += '=';
  return out;
}

std::optional<ByteVector> decode_base64(std::string_view text) {
  if (text.size() % 4 != 0) return std::nullopt;
  for (int i = 0; i < 2 && !text.empty() && text.back() == '='; ++i) text.remove_suffix(1);
  return decode_sixes(text, kBase64);
}

std::optional<ByteVector> decode_base64url(std::string_view text) {
  return decode_sixes(text, kBase64Url);
}

std::string base32_lower(Bytes bytes) {
  return encode<5>(bytes, "abcdefghijklmnopqrstuvwxyz234567");
}

std::string hex(Bytes bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  out.reserve(bytes.size() * 2);
  for (const auto b : bytes) {
    out += kDigits[b >> 4];
    out += kDigits[b & 15];
  }
  return out;
}

std::optional<ByteVector> decode_hex(std::string_view text) {
  if (text.size() % 2 != 0) return std::nullopt;
  ByteVector out;
  out.reserve(text.size() / 2);
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    int digit = -1;
    if (c >= '0' && c <= '9') digit = c - '0';
    if (c >= 'a' && c <= 'f') digit = c - 'a' + 10;
    if (c >= 'A' && c <= 'F') digit = c - 'A' + 10;
    if (digit < 0) return std::nullopt;
    if (i % 2 == 0) {
      out.push_back(static_cast<std::uint8_t>(digit << 4));
    } else {
      out.back() = static_cast<std::uint8_t>(out.back() | digit);
    }
  }
  return out;
}

}  // namespace fg
