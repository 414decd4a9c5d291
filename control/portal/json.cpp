#include "control/portal/json.h"

#include <limits>
#include <nlohmann/json.hpp>

namespace fg::portal {
namespace {

// Builds the tree. Containers under construction are kept as values and moved into their parent
// when they end, so no pointer into a growing vector is ever held.
class TreeBuilder {
 public:
  explicit TreeBuilder(std::size_t length) : length_(length) {}

  bool null() { return add({}); }
  bool boolean(bool value) {
    Json json;
    json.kind = Json::Kind::boolean;
    json.boolean = value;
    return add(std::move(json));
  }
  bool number_integer(std::int64_t value) {
    Json json;
    json.kind = Json::Kind::integer;
    json.is_negative = value < 0;
    json.magnitude =
        value < 0 ? ~static_cast<std::uint64_t>(value) + 1 : static_cast<std::uint64_t>(value);
    return add(std::move(json));
  }
  bool number_unsigned(std::uint64_t value) {
    Json json;
    json.kind = Json::Kind::integer;
    json.magnitude = value;
    return add(std::move(json));
  }
  bool number_float(double /*value*/, const std::string& /*text*/) {
    Json json;
    json.kind = Json::Kind::fraction;
    return add(std::move(json));
  }
  bool string(std::string& value) {
    Json json;
    json.kind = Json::Kind::text;
    json.text = std::move(value);
    return add(std::move(json));
  }
  bool binary(std::vector<std::uint8_t>& /*value*/) { return false; }
  bool start_object(std::size_t /*size*/) { return open(Json::Kind::object); }
  bool start_array(std::size_t /*size*/) { return open(Json::Kind::list); }
  bool key(std::string& name) {
    open_.back().next_name = std::move(name);
    return true;
  }
  bool end_object() { return close(); }
  bool end_array() { return close(); }
  bool parse_error(std::size_t position, const std::string& /*token*/,
                   const nlohmann::detail::exception& /*e*/) {
    // The lexer counts the end of input as one more character read.
    error_ = position > length_ ? JsonError::truncated : JsonError::malformed;
    return false;
  }

  [[nodiscard]] JsonError error() const { return error_; }
  Json take_root() { return std::move(root_); }

 private:
  struct Open {
    Json json;
    std::string next_name;
  };

  bool open(Json::Kind kind) {
    if (open_.size() >= kJsonDepthMax) return false;
    open_.emplace_back().json.kind = kind;
    return true;
  }
  bool close() {
    Json json = std::move(open_.back().json);
    open_.pop_back();
    return add(std::move(json));
  }
  bool add(Json&& json) {
    if (++values_ > kJsonValuesMax) return false;
    if (open_.empty()) {
      root_ = std::move(json);
    } else if (Open& parent = open_.back(); parent.json.is_list()) {
      parent.json.list.push_back(std::move(json));
    } else {
      parent.json.members.push_back({std::move(parent.next_name), std::move(json)});
    }
    return true;
  }

  std::size_t length_;
  std::size_t values_ = 0;
  Json root_;
  std::vector<Open> open_;
  JsonError error_ = JsonError::malformed;
};

}  // namespace

Result<Json, JsonError> parse_json(std::string_view text) {
  // The lexer takes a NUL for the end of the text; no JSON text has one (RFC 8259 §2, §7).
  if (text.find('\0') != std::string_view::npos) return fail(JsonError::malformed);
  TreeBuilder builder(text.size());
  if (!nlohmann::json::sax_parse(text.begin(), text.end(), &builder)) return fail(builder.error());
  return builder.take_root();
}

void append_json_text(std::string& out, std::string_view text) {
  static constexpr std::string_view kHex = "0123456789abcdef";
  out += '"';
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        if (byte < 0x20) {
          out += "\\u00";
          out += kHex[byte >> 4];
          out += kHex[byte & 15];
        } else {
          out += c;
        }
    }
  }
  out += '"';
}

ObjectReader::ObjectReader(const Json& json) : json_(&json), ok_(json.is_object()) {}

const Json* ObjectReader::find(std::string_view name) {
  const Json* found = nullptr;
  for (const auto& member : json_->members) {
    if (member.name != name) continue;
    if (found != nullptr) {
      reject();
      return nullptr;
    }
    found = &member.value;
  }
  return found;
}

const Json* ObjectReader::require(std::string_view name) {
  const Json* json = find(name);
  if (json == nullptr) reject();
  return json;
}

std::string_view ObjectReader::text(std::string_view name) {
  const Json* json = require(name);
  if (json == nullptr) return {};
  if (json->kind != Json::Kind::text) {
    reject();
    return {};
  }
  return json->text;
}

std::optional<std::string_view> ObjectReader::optional_text(std::string_view name,
                                                            bool is_nullable) {
  const Json* json = find(name);
  if (json == nullptr || (is_nullable && json->is_null())) return std::nullopt;
  if (json->kind != Json::Kind::text) {
    reject();
    return std::nullopt;
  }
  return json->text;
}

std::int64_t ObjectReader::integer(std::string_view name) {
  const Json* json = require(name);
  const auto value = json == nullptr ? std::nullopt : as_integer(*json);
  if (!value) reject();
  return value.value_or(0);
}

bool ObjectReader::optional_boolean(std::string_view name, bool fallback) {
  const Json* json = find(name);
  if (json == nullptr) return fallback;
  if (json->kind != Json::Kind::boolean) {
    reject();
    return fallback;
  }
  return json->boolean;
}

std::optional<std::int64_t> as_integer(const Json& json) {
  constexpr auto kMax = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  if (json.kind != Json::Kind::integer || json.magnitude > kMax) return std::nullopt;
  const auto value = static_cast<std::int64_t>(json.magnitude);
  return json.is_negative ? -value : value;
}

}  // namespace fg::portal
