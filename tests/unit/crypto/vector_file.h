// Reads "name = hex" files of tests/vectors.
#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <sstream>
#include <string>

#include "base/bytes.h"

namespace fg::test {

inline ByteVector from_hex(std::string_view hex) {
  ByteVector out;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    out.push_back(static_cast<std::uint8_t>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16)));
  }
  return out;
}
inline std::string to_hex(Bytes bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (const std::uint8_t b : bytes) {
    out += kDigits[b >> 4];
    out += kDigits[b & 15];
  }
  return out;
}
template <std::size_t N>
std::array<std::uint8_t, N> array_from_hex(std::string_view hex) {
  std::array<std::uint8_t, N> out{};
  const ByteVector bytes = from_hex(hex);
  EXPECT_EQ(bytes.size(), N);
  std::copy_n(bytes.begin(), std::min(N, bytes.size()), out.begin());
  return out;
}

class VectorFile {
 public:
  explicit VectorFile(const std::string& name) {
    std::ifstream in(std::string(FG_SOURCE_DIR) + "/tests/vectors/" + name);
    EXPECT_TRUE(in) << name;
    for (std::string line; std::getline(in, line);) {
      std::istringstream words(line);
      std::string key, equals, value;
      if (!line.starts_with('#') && words >> key >> equals >> value) values_[key] = value;
    }
  }
  [[nodiscard]] std::string hex(const std::string& key) const {
    const auto it = values_.find(key);
    EXPECT_NE(it, values_.end()) << key;
    return it == values_.end() ? "" : it->second;
  }
  [[nodiscard]] ByteVector bytes(const std::string& key) const { return from_hex(hex(key)); }
  template <std::size_t N>
  [[nodiscard]] std::array<std::uint8_t, N> array(const std::string& key) const {
    return array_from_hex<N>(hex(key));
  }

 private:
  std::map<std::string, std::string> values_;
};

}  // namespace fg::test
