// Patterns of DNS resources (spec policy 4.1): globs over the labels of a name. Matching takes time
// proportional to pattern times name, whatever the pattern. Names are ASCII as in DNS; bytes beyond
// are matched one by one.
#pragma once

#include <bitset>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fg::acl {

inline constexpr std::size_t kPatternMax = 1'024;  // characters; names have at most 253

class Pattern {
 public:
  // None for an invalid pattern, which matches nothing.
  static std::optional<Pattern> parse(std::string_view text);
  // A trailing dot of the name is ignored.
  [[nodiscard]] bool matches(std::string_view name) const;

 private:
  struct Token {
    enum class Kind : std::uint8_t { literal, any_character, any_run, one_of };
    Kind kind = Kind::literal;
    char character = 0;     // literal, lower case
    std::uint32_t set = 0;  // one_of: place in sets_
  };
  struct Label {
    bool any_labels = false;  // `**`
    std::vector<Token> tokens;
  };

  Pattern() = default;
  bool parse_class(std::string_view text, std::size_t& at);
  static void add_range(std::bitset<256>& set, char first, char last);
  void settle_last_label();
  [[nodiscard]] bool label_matches(const Label& label, std::string_view text) const;
  [[nodiscard]] bool token_matches(const Token& token, char c) const;

  std::vector<Label> labels_;
  std::vector<std::bitset<256>> sets_;
  std::string remainder_;  // of `*.remainder`, which the bare remainder matches too
};

}  // namespace fg::acl
