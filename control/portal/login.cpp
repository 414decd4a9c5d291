#include "control/portal/login.h"

#include <algorithm>

#include "base/encoding.h"
#include "base/ids.h"
#include "control/portal/json.h"
#include "control/portal/retry_after.h"
#include "crypto/hash.h"

namespace fg::portal {
namespace {

constexpr int kUnauthorized = 401;
constexpr int kNotFound = 404;
constexpr int kUnprocessable = 422;

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

// Bad request, unknown path, parameters or user agent not understood.
bool is_way_refused(int status) {
  return status == 400 || status == kNotFound || status == 410 || status == kUnprocessable;
}

// Fit for a header and for a log line.
std::string printable(std::string_view text, std::size_t size_max) {
  std::string out;
  for (const char c : text) {
    if (out.size() >= size_max) break;
    if (c >= ' ' && c <= '~') out += c;
  }
  return out;
}

std::string without_spaces(std::string_view text) {
  std::string out;
  std::copy_if(text.begin(), text.end(), std::back_inserter(out),
               [](char c) { return !is_space(c); });
  return out;
}

bool is_problem_json(std::string_view content_type) {
  constexpr std::string_view kType = "application/problem+json";
  const auto type = trimmed(content_type.substr(0, content_type.find(';')));
  const auto equal_ignoring_case = [](char a, char b) {
    return a == b || (a >= 'A' && a <= 'Z' && a - 'A' + 'a' == b);
  };
  return std::equal(type.begin(), type.end(), kType.begin(), kType.end(), equal_ignoring_case);
}

// What RFC 9457 calls problem details; empty where absent.
struct Problem {
  std::string code;
  std::string detail;
};

Problem problem_of(const UpgradeRefusal& refusal) {
  Problem problem;
  if (!is_problem_json(refusal.content_type)) return problem;
  const auto json = parse_json(refusal.body);
  if (!json) return problem;
  ObjectReader code(*json);
  problem.code = code.text("code");
  ObjectReader detail(*json);
  problem.detail = printable(detail.text("detail"), kRefusalTextMax);
  return problem;
}

}  // namespace

std::string external_id(std::string_view id, Generation generation) {
  // The file of a seed gateway, which hashed its text as it was, may end in a newline.
  const auto text = id.substr(0, id.find_last_not_of(" \r\n") + 1);
  if (generation != Generation::a && !parse_uuid(text)) return std::string{id};
  return hex(crypto::sha256({as_bytes(id)}));
}

std::string user_agent(const SystemFacts& system, std::string_view version) {
  constexpr std::size_t kPartMax = 256;
  std::string out = printable(system.os, kPartMax) + "/" + printable(system.version, kPartMax);
  // A portals know only the first component; B and C take the first they know.
  out += " connlib/" + std::string{version} + " gateway/" + std::string{version};
  const auto arch = printable(system.arch, kPartMax);
  const auto kernel = printable(system.kernel, kPartMax);
  if (arch.empty() && kernel.empty()) return out;
  out += " (" + arch;
  if (!arch.empty() && !kernel.empty()) out += "; ";
  return out + kernel + ")";
}

Login::Login(LoginOptions options) : options_(std::move(options)) { forget(); }

UpgradeRequest Login::request() const {
  const bool is_a = generation_ == Generation::a;
  const auto& url = options_.url;
  UpgradeRequest request;
  request.is_tls = url.is_tls;
  request.host = url.host;
  request.port = url.port;
  request.proxy = options_.proxy;
  const bool is_v6_literal = url.host.find(':') != std::string::npos;
  request.host_header = is_v6_literal ? "[" + url.host + "]" : url.host;
  // spec portal 1.3: only A names a port
  if (is_a && url.port != (url.is_tls ? 443 : 80))
    request.host_header += ":" + std::to_string(url.port);

  const auto token = without_spaces(options_.token.expose());
  const auto id = form_encode(external_id(options_.id, generation_));
  const auto name = form_encode(options_.name);
  const auto key = form_encode(base64(options_.public_key));
  std::string target = url.path;
  if (is_a) {
    target += "/gateway/websocket?token=" + form_encode(token) + "&public_key=" + key +
              "&external_id=" + id + "&name=" + name;
  } else {
    target += generation_ == Generation::c ? "/gateway/v2/websocket" : "/gateway/websocket";
    target += "?external_id=" + id + "&name=" + name + "&public_key=" + key;
    request.authorization = SecretText{"Bearer " + token};
  }
  request.target = SecretText{std::move(target)};
  const auto version =
      options_.reported_version.value_or(std::string{is_a ? kReportedVersionA : kReportedVersion});
  request.user_agent = user_agent(options_.system, version);
  return request;
}

std::optional<Generation> Login::other_way(const UpgradeRefusal& refusal) const {
  if (options_.generation) return std::nullopt;
  if (generation_ == Generation::c && refusal.status == kNotFound) return Generation::b;
  if (generation_ != Generation::b) return std::nullopt;
  // An A portal looks for the token in the query only, and refuses user agents it does not know
  // (spec portal 1.3, 1.5).
  if (refusal.status == kUnprocessable) return Generation::a;
  if (refusal.status == kUnauthorized && trimmed(refusal.body) == "Missing token")
    return Generation::a;
  return std::nullopt;
}

Verdict Login::on_refused(const UpgradeRefusal& refusal, WallTime now) {
  Verdict verdict;
  verdict.reason = "portal refused the connection: HTTP status " + std::to_string(refusal.status);
  if (const auto other = other_way(refusal)) {
    generation_ = *other;
    verdict.kind = Verdict::Kind::retry_other;
    return verdict;
  }
  if (refusal.status == kUnauthorized) {
    verdict.kind = Verdict::Kind::fatal;
    verdict.reason = why_unauthorized(refusal);
    return verdict;
  }
  // The way that was learnt has stopped working: the portal may have been replaced, so ask anew
  // from the start.
  if (is_way_refused(refusal.status)) forget();
  if (refusal.retry_after) verdict.retry_after = parse_retry_after(*refusal.retry_after, now);
  if (const auto problem = problem_of(refusal); !problem.detail.empty())
    verdict.reason += " (" + problem.detail + ")";
  return verdict;
}

std::string Login::why_unauthorized(const UpgradeRefusal& refusal) const {
  if (generation_ != Generation::c) return "Authentication token invalid";
  const auto problem = problem_of(refusal);
  if (problem.code == "invalid_token" || problem.code == "missing_token")
    return "Authentication token invalid";
  return "Failed to authenticate with portal: " +
         (problem.detail.empty() ? "no reason provided" : problem.detail);
}

}  // namespace fg::portal
