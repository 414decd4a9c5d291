// A JSON text as a value that still remembers doubled members: the portal's schema drops a message
// for a doubled member it knows and ignores one it does not (spec portal 1.7, 2.1), so that is
// decided by the reader of the member, not by the parser. Only the integers the schema uses are
// kept; every other number is `fraction`.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace fg::portal {

inline constexpr std::size_t kJsonDepthMax = 128;  // as the original's parser
// Values in one text. 100 000 authorizations are 400 000; a text of nothing but brackets would
// need fifty times its size.
inline constexpr std::size_t kJsonValuesMax = 2'000'000;

struct Json {
  enum class Kind : std::uint8_t { null, boolean, integer, fraction, text, list, object };
  struct Member;

  Kind kind = Kind::null;
  bool boolean = false;
  bool is_negative = false;     // integer
  std::uint64_t magnitude = 0;  // integer
  std::string text;
  std::vector<Json> list;
  std::vector<Member> members;

  [[nodiscard]] bool is_null() const { return kind == Kind::null; }
  [[nodiscard]] bool is_object() const { return kind == Kind::object; }
  [[nodiscard]] bool is_list() const { return kind == Kind::list; }
  [[nodiscard]] bool is_empty_object() const;
};

struct Json::Member {
  std::string name;
  Json value;
};

inline bool Json::is_empty_object() const { return is_object() && members.empty(); }

enum class JsonError : std::uint8_t {
  truncated,  // the text ends inside a value; also an empty or blank text
  malformed,
};

[[nodiscard]] Result<Json, JsonError> parse_json(std::string_view text);

// Appends `text` as a JSON string, quotes included.
void append_json_text(std::string& out, std::string_view text);

// Reads the members of one object. A member that is missing, doubled or of the wrong kind makes
// ok() false for good; an unknown member is never looked at. Optional reads yield none for an
// absent member only.
class ObjectReader {
 public:
  explicit ObjectReader(const Json& json);

  [[nodiscard]] bool ok() const { return ok_; }
  void reject() { ok_ = false; }

  // nullptr when absent. A doubled member rejects.
  const Json* find(std::string_view name);
  // nullptr, and rejects, when absent.
  const Json* require(std::string_view name);

  std::string_view text(std::string_view name);
  // Absent: none. Present but no string, and null unless allowed: rejects.
  std::optional<std::string_view> optional_text(std::string_view name, bool is_nullable);
  std::int64_t integer(std::string_view name);
  bool optional_boolean(std::string_view name, bool fallback);

 private:
  const Json* json_;
  bool ok_ = true;
};

// An integer that fits int64, else none.
[[nodiscard]] std::optional<std::int64_t> as_integer(const Json& json);

}  // namespace fg::portal
