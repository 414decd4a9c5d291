#include "control/acl/pattern.h"

#include <algorithm>

namespace fg::acl {
namespace {

constexpr char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }
constexpr bool is_letter(char c) { return lower(c) >= 'a' && lower(c) <= 'z'; }
std::size_t index_of(char c) { return static_cast<unsigned char>(c); }

std::string lower(std::string_view text) {
  std::string out{text};
  std::ranges::transform(out, out.begin(), [](char c) { return lower(c); });
  return out;
}

// One backtrack point: when the rest fails behind the last run, that run takes one item more.
// Earlier runs never need to change, so the cost is bounded by the product of both lengths.
template <class IsRun, class Matches>
bool match_with_runs(std::size_t tokens, std::size_t items, IsRun is_run, Matches matches) {
  std::size_t token = 0;
  std::size_t item = 0;
  std::optional<std::size_t> run;
  std::size_t run_end = 0;
  while (item < items) {
    if (token < tokens && is_run(token)) {
      run = token++;
      run_end = item;
    } else if (token < tokens && matches(token, item)) {
      ++token;
      ++item;
    } else if (run) {
      token = *run + 1;
      item = ++run_end;
    } else {
      return false;
    }
  }
  while (token < tokens && is_run(token)) ++token;
  return token == tokens;
}

}  // namespace

std::optional<Pattern> Pattern::parse(std::string_view text) {
  if (text.size() > kPatternMax) return std::nullopt;
  Pattern pattern;
  pattern.labels_.emplace_back();
  for (std::size_t at = 0; at < text.size();) {
    auto& label = pattern.labels_.back();
    switch (text[at]) {
      case '.':
        pattern.labels_.emplace_back();
        ++at;
        break;
      case '?':
        label.tokens.push_back({Token::Kind::any_character, 0, 0});
        ++at;
        break;
      case '[':
        if (!pattern.parse_class(text, at)) return std::nullopt;
        break;
      case '*': {
        const auto end = std::min(text.find_first_not_of('*', at), text.size());
        const bool is_label =
            (at == 0 || text[at - 1] == '.') && (end == text.size() || text[end] == '.');
        const auto stars = end - at;
        if (stars > 2 || (stars == 2 && !is_label)) return std::nullopt;
        if (stars == 2) {
          label.any_labels = true;
        } else {
          label.tokens.push_back({Token::Kind::any_run, 0, 0});
        }
        at = end;
        break;
      }
      default:
        label.tokens.push_back({Token::Kind::literal, lower(text[at++]), 0});
    }
  }
  pattern.settle_last_label();
  if (text.starts_with("*.")) pattern.remainder_ = lower(text.substr(2));
  return pattern;
}

// `foo.**` does not match `foo`: at the end behind other labels, `**` stands for at least one
// label.
void Pattern::settle_last_label() {
  if (!labels_.back().any_labels) return;
  if (std::ranges::all_of(labels_, &Label::any_labels)) return;
  labels_.push_back({false, {{Token::Kind::any_run, 0, 0}}});
}

// [abc], [a-z], [!a]; at least one member, and the first may be ']' itself. A dot never matches:
// labels contain none.
bool Pattern::parse_class(std::string_view text, std::size_t& at) {
  auto first = at + 1;
  const bool negated = first < text.size() && text[first] == '!';
  if (negated) ++first;
  const auto end = text.find(']', first + 1);
  if (end == std::string_view::npos) return false;
  std::bitset<256> set;
  for (auto i = first; i < end;) {
    if (i + 2 < end && text[i + 1] == '-') {
      add_range(set, text[i], text[i + 2]);
      i += 3;
    } else {
      add_range(set, text[i], text[i]);
      ++i;
    }
  }
  if (negated) set.flip();
  labels_.back().tokens.push_back(
      {Token::Kind::one_of, 0, static_cast<std::uint32_t>(sets_.size())});
  sets_.push_back(set);
  at = end + 1;
  return true;
}

// Letters of either case count when both ends are letters.
void Pattern::add_range(std::bitset<256>& set, char first, char last) {
  const bool letters = is_letter(first) && is_letter(last);
  for (std::size_t i = 0; i < set.size(); ++i) {
    const auto c = static_cast<char>(i);
    const bool inside = index_of(first) <= i && i <= index_of(last);
    const bool folded =
        letters && is_letter(c) && lower(first) <= lower(c) && lower(c) <= lower(last);
    if (inside || folded) set.set(i);
  }
}

bool Pattern::token_matches(const Token& token, char c) const {
  switch (token.kind) {
    case Token::Kind::literal:
      return token.character == lower(c);
    case Token::Kind::any_character:
      return true;
    case Token::Kind::one_of:
      return sets_[token.set].test(index_of(c));
    case Token::Kind::any_run:
      return false;
  }
  return false;
}

bool Pattern::label_matches(const Label& label, std::string_view text) const {
  const auto& tokens = label.tokens;
  return match_with_runs(
      tokens.size(), text.size(),
      [&](std::size_t t) { return tokens[t].kind == Token::Kind::any_run; },
      [&](std::size_t t, std::size_t i) { return token_matches(tokens[t], text[i]); });
}

bool Pattern::matches(std::string_view name) const {
  if (name.ends_with('.')) name.remove_suffix(1);
  if (!remainder_.empty() && lower(name) == remainder_) return true;
  std::vector<std::string_view> names;
  for (auto rest = name;;) {
    const auto dot = rest.find('.');
    names.push_back(rest.substr(0, dot));
    if (dot == std::string_view::npos) break;
    rest.remove_prefix(dot + 1);
  }
  return match_with_runs(
      labels_.size(), names.size(), [&](std::size_t l) { return labels_[l].any_labels; },
      [&](std::size_t l, std::size_t n) { return label_matches(labels_[l], names[n]); });
}

}  // namespace fg::acl
