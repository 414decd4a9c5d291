// JSON texts: what is read, written again, reads the same; what we write, we read.
#include "control/portal/json.h"
#include "tests/fuzz/support.h"

namespace {

using namespace fg;
using namespace fg::portal;

void write(std::string& out, const Json& json);

template <class List, class One>
void write_list(std::string& out, const List& list, One one) {
  bool is_first = true;
  for (const auto& element : list) {
    if (!is_first) out += ',';
    is_first = false;
    one(element);
  }
}

void write(std::string& out, const Json& json) {
  switch (json.kind) {
    case Json::Kind::null:
      out += "null";
      return;
    case Json::Kind::boolean:
      out += json.boolean ? "true" : "false";
      return;
    case Json::Kind::integer:
      out += (json.is_negative ? "-" : "") + std::to_string(json.magnitude);
      return;
    case Json::Kind::fraction:
      out += "0.5";
      return;
    case Json::Kind::text:
      append_json_text(out, json.text);
      return;
    case Json::Kind::list:
      out += '[';
      write_list(out, json.list, [&](const Json& element) { write(out, element); });
      out += ']';
      return;
    case Json::Kind::object:
      out += '{';
      write_list(out, json.members, [&](const Json::Member& member) {
        append_json_text(out, member.name);
        out += ':';
        write(out, member.value);
      });
      out += '}';
  }
}

std::size_t depth_of(const Json& json) {
  std::size_t inner = 0;
  for (const auto& element : json.list) inner = std::max(inner, depth_of(element));
  for (const auto& member : json.members) inner = std::max(inner, depth_of(member.value));
  return json.is_list() || json.is_object() ? inner + 1 : 0;
}

void run(Bytes input) {
  const auto text = as_text(input);
  const auto json = parse_json(text);
  if (json) {
    FG_LAW(depth_of(*json) <= kJsonDepthMax);
    std::string once;
    write(once, *json);
    const auto again = parse_json(once);
    FG_LAW(again.has_value());
    std::string twice;
    write(twice, *again);
    FG_LAW(once == twice);
    if (const auto value = as_integer(*json))
      FG_LAW((*value < 0) == (json->is_negative && json->magnitude != 0));
    if (json->is_object() || json->is_list() || json->kind == Json::Kind::text) {
      // Cut anywhere, such a text is unfinished, which ends the connection; it is never taken for a
      // whole one.
      const auto end = text.find_last_not_of(" \t\r\n");
      const auto cut = parse_json(text.substr(0, end));
      FG_LAW(!cut && cut.error() == JsonError::truncated);
    }
  }
  std::string quoted;
  append_json_text(quoted, text);
  FG_LAW(std::all_of(quoted.begin(), quoted.end(),
                     [](char c) { return static_cast<unsigned char>(c) >= ' '; }));
  if (const auto read = parse_json(quoted))
    FG_LAW(read->kind == Json::Kind::text && read->text == text);
}

}  // namespace

FG_FUZZ_TARGET(run)
