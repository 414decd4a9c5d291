#include "control/acl/pattern.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

namespace fg::acl {
namespace {

bool matches(std::string_view pattern, std::string_view name) {
  const auto parsed = Pattern::parse(pattern);
  EXPECT_TRUE(parsed) << pattern;
  return parsed && parsed->matches(name);
}

// The rows of spec policy 4.1.
struct Row {
  const char* pattern;
  const char* name;
  bool match;
};
class PatternTable : public testing::TestWithParam<Row> {};

TEST_P(PatternTable, AnswersAsTheSpecSays) {
  const auto& row = GetParam();
  EXPECT_EQ(matches(row.pattern, row.name), row.match) << row.pattern << " against " << row.name;
}

INSTANTIATE_TEST_SUITE_P(
    Spec, PatternTable,
    testing::Values(
        Row{"example.com", "EXAMPLE.com", true}, Row{"example.com", "sub.example.com", false},
        Row{"*.example.com", "foo.example.com", true}, Row{"*.example.com", "example.com", true},
        Row{"*.example.com", "FOO.Example.COM", true},
        Row{"*.example.com", "a.b.example.com", false}, Row{"**.example.com", "example.com", true},
        Row{"**.example.com", "a.example.com", true},
        Row{"**.example.com", "a.b.example.com", true},
        Row{"app.**.web.**.example.com", "app.web.example.com", true},
        Row{"app.**.example.com", "app.x.y.example.com", true}, Row{"foo.**", "foo.a.b", true},
        Row{"foo.**", "foo", false}, Row{"?.example.com", "a.example.com", true},
        Row{"?.example.com", "ab.example.com", false}, Row{"?.example.com", "example.com", false},
        Row{"app.f??.example.com", "app.foo.example.com", true},
        Row{"*?*.example.com", "app.example.com", true}, Row{"app.*com", "app.foo.com", false},
        Row{"app.*com", "app.com", true}, Row{"app?com", "app.com", false},
        Row{"app?com", "app.foo.com", false}, Row{"*.*.example.com", "x.example.com", false},
        Row{"*.*.example.com", "x.y.example.com", true}));

INSTANTIATE_TEST_SUITE_P(
    Beyond, PatternTable,
    testing::Values(
        Row{"EXAMPLE.com", "example.COM.", true}, Row{"*.EXAMPLE.com", "Example.COM", true},
        Row{"*.*.example.com", "*.example.com", true}, Row{"**", "a.b.c", true},
        Row{"**", "a", true}, Row{"**.**.com", "com", true}, Row{"foo.**.**", "foo", false},
        Row{"foo.**.**", "foo.a", true}, Row{"*", "a", true}, Row{"*", "a.b", false},
        Row{"a*b*c", "aXbYc", true}, Row{"a*b*c", "abcbc", true}, Row{"a*b*c", "acb", false},
        Row{"[abc].com", "b.com", true}, Row{"[abc].com", "B.com", true},
        Row{"[A-C].com", "b.com", true}, Row{"[a-c].com", "d.com", false},
        Row{"[0-9].com", "5.com", true}, Row{"[!a].com", "b.com", true},
        Row{"[!a].com", "A.com", false}, Row{"x[!a]com", "x.com", false},
        Row{"x[.]com", "x.com", false}, Row{"[]a].com", "].com", true},
        Row{"[a-].com", "-.com", true}, Row{"[z-a].com", "m.com", false},
        Row{"example.com", "example.com.", true}, Row{"example.com", "example.com..", false},
        Row{"example.com", "", false}, Row{"**.a.**.b", "x.a.y.a.z.b", true},
        Row{"**.a.b", "a.a.b", true}, Row{"my app.com", "my app.com", true}));

TEST(Pattern, InvalidOnesAreRefused) {
  for (const auto* text : {"**foo.com", "foo**.com", "***.com", "a.***", "[a.com", "[", "[]", "[!]",
                           "[!", "a[b", "x.**y.z"}) {
    EXPECT_FALSE(Pattern::parse(text)) << text;
  }
}

TEST(Pattern, LongestIsAcceptedAndOneMoreRefused) {
  EXPECT_TRUE(Pattern::parse(std::string(1024, 'a')));
  EXPECT_FALSE(Pattern::parse(std::string(1025, 'a')));
}

// Would take longer than the universe with naive backtracking.
TEST(Pattern, ManyRunsStayCheap) {
  std::string stars;
  std::string labels;
  std::string name;
  for (int i = 0; i < 60; ++i) {
    stars += "*a";
    labels += "**.a.";
    name += "a.";
  }
  EXPECT_FALSE(matches(stars + "b", std::string(63, 'a')));
  EXPECT_FALSE(matches(labels + "b", name + "a"));
}

// Plain recursion over characters; slow but obvious. Covers literals, `?`, `*` and `**`.
bool naive(std::string_view p, std::string_view n) {
  if (p == "**") return !n.empty();
  if (p.starts_with("**.")) {
    if (naive(p.substr(3), n)) return true;
    const auto dot = n.find('.');
    return dot != std::string_view::npos && naive(p, n.substr(dot + 1));
  }
  if (p.empty()) return n.empty();
  if (p[0] == '*') {
    if (naive(p.substr(1), n)) return true;
    return !n.empty() && n[0] != '.' && naive(p, n.substr(1));
  }
  if (n.empty() || (p[0] == '?' ? n[0] == '.' : p[0] != n[0])) return false;
  return naive(p.substr(1), n.substr(1));
}

std::string join(const std::vector<std::string>& labels) {
  std::string out;
  for (const auto& label : labels) out += (out.empty() ? "" : ".") + label;
  return out;
}

RC_GTEST_PROP(PatternProperty, AgreesWithPlainRecursion, ()) {
  std::vector<std::string> pattern(*rc::gen::inRange<std::size_t>(1, 5));
  for (auto& label : pattern) {
    label = *rc::gen::elementOf(
        std::vector<std::string>{"a", "b", "ab", "?", "*", "**", "a*", "*b", "?*", "*a*b"});
  }
  std::vector<std::string> name(*rc::gen::inRange<std::size_t>(1, 6));
  for (auto& label : name)
    label = *rc::gen::elementOf(std::vector<std::string>{"a", "b", "ab", "ba", "abab"});
  const auto text = join(pattern);
  const auto want =
      naive(text, join(name)) || (text.starts_with("*.") && text.substr(2) == join(name));
  RC_ASSERT(Pattern::parse(text)->matches(join(name)) == want);
}

RC_GTEST_PROP(PatternProperty, ArbitraryTextIsHarmless,
              (const std::string& pattern, const std::string& name)) {
  if (const auto parsed = Pattern::parse(pattern)) (void)parsed->matches(name);
}

}  // namespace
}  // namespace fg::acl
