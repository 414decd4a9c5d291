// DNS messages written byte by byte.
#pragma once

#include <string>
#include <string_view>

#include "base/bytes.h"

namespace fg::dns::test {

inline std::string be16(unsigned value) {
  return {static_cast<char>(value >> 8), static_cast<char>(value)};
}

inline std::string labels(std::string_view name) {
  std::string out;
  while (!name.empty()) {
    const auto label = name.substr(0, name.find('.'));
    out += static_cast<char>(label.size());
    out += label;
    name.remove_prefix(std::min(label.size() + 1, name.size()));
  }
  return out + '\0';
}

inline constexpr unsigned kSrv = 33;
inline constexpr unsigned kTxt = 16;

inline std::string question(std::string_view name, unsigned type = kSrv) {
  return labels(name) + be16(type) + be16(1);
}

inline std::string header(unsigned id, unsigned flags, unsigned questions, unsigned answers) {
  return be16(id) + be16(flags) + be16(questions) + be16(answers) + be16(0) + be16(0);
}

// TXT record of the name in the question, with so many bytes of data.
inline std::string record(std::size_t size) {
  return be16(0xC00C) + be16(kTxt) + be16(1) + be16(0) + be16(60) +
         be16(static_cast<unsigned>(size)) + std::string(size, 'x');
}

inline std::string query(unsigned id, std::string_view name = "_ldap._tcp.lab.test",
                         unsigned type = kSrv) {
  return header(id, 0x0100, 1, 0) + question(name, type);
}

// What a name server says to that query: rcode in the flags.
inline std::string reply(std::string_view query, std::size_t size = 20, unsigned flags = 0x8180) {
  std::string out{query};
  const auto records = size == 0 ? 0U : 1U;
  out.replace(2, 10, be16(flags) + be16(1) + be16(records) + be16(0) + be16(0));
  return records == 0 ? out : out + record(size);
}

inline std::string text_of(Bytes bytes) { return std::string{as_text(bytes)}; }

}  // namespace fg::dns::test
