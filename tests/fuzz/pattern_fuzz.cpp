// A pattern of a DNS resource and a name, separated by the first space. Patterns without classes
// are compared with a matcher that tries everything.
#include "control/acl/pattern.h"
#include "tests/fuzz/support.h"

namespace {

using namespace fg;
using acl::Pattern;

using Labels = std::vector<std::string>;

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }
std::string lower(std::string_view text) {
  std::string out{text};
  for (auto& c : out) c = lower(c);
  return out;
}
Labels split(std::string_view text) {
  Labels out{""};
  for (const char c : text) {
    if (c == '.')
      out.emplace_back();
    else
      out.back() += c;
  }
  return out;
}

bool label_matches(std::string_view pattern, std::string_view text) {
  if (pattern.empty()) return text.empty();
  if (pattern[0] == '*') {
    for (std::size_t i = 0; i <= text.size(); ++i) {
      if (label_matches(pattern.substr(1), text.substr(i))) return true;
    }
    return false;
  }
  return !text.empty() && (pattern[0] == '?' || pattern[0] == text[0]) &&
         label_matches(pattern.substr(1), text.substr(1));
}
bool labels_match(std::span<const std::string> pattern, std::span<const std::string> name) {
  if (pattern.empty()) return name.empty();
  if (pattern[0] != "**")
    return !name.empty() && label_matches(pattern[0], name[0]) &&
           labels_match(pattern.subspan(1), name.subspan(1));
  for (std::size_t i = 0; i <= name.size(); ++i) {
    if (labels_match(pattern.subspan(1), name.subspan(i))) return true;
  }
  return false;
}
// Spec policy 4.1.
bool reference(std::string_view pattern, std::string_view name) {
  const auto text = lower(pattern);
  auto asked = lower(name);
  if (asked.ends_with('.')) asked.pop_back();
  if (text.starts_with("*.") && asked == text.substr(2) && !asked.empty()) return true;
  auto labels = split(text);
  const bool has_other = std::ranges::any_of(labels, [](const auto& l) { return l != "**"; });
  if (labels.back() == "**" && has_other)
    labels.emplace_back("*");  // stands for at least one label
  return labels_match(labels, split(asked));
}

void run(Bytes input) {
  const auto text = as_text(input);
  const auto space = text.find(' ');
  if (space == std::string_view::npos) return;
  const auto pattern_text = text.substr(0, space);
  const auto name = text.substr(space + 1);
  const auto pattern = Pattern::parse(pattern_text);
  if (!pattern) return;
  const bool matches = pattern->matches(name);
  FG_LAW(pattern_text.size() <= acl::kPatternMax);
  FG_LAW(pattern->matches(lower(name)) == matches ||
         pattern_text.find('[') != std::string_view::npos);
  if (!name.ends_with('.')) FG_LAW(pattern->matches(std::string{name} + '.') == matches);
  const auto meta =
      std::ranges::count_if(pattern_text, [](char c) { return c == '*' || c == '?'; });
  if (pattern_text.find('[') != std::string_view::npos || meta > 6 || name.size() > 64) return;
  FG_LAW(matches == reference(pattern_text, name));
}

}  // namespace

FG_FUZZ_TARGET(run)
