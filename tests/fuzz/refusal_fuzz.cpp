// What a portal can answer instead of a WebSocket: status, Retry-After, content type and body,
// several times in a row.
#include "control/portal/login.h"
#include "control/portal/retry_after.h"
#include "tests/fuzz/support.h"

namespace {

using namespace fg;
using namespace fg::portal;

bool is_printable(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c >= ' ' && c <= '~'; });
}

LoginOptions options(fuzz::Choices& choices) {
  LoginOptions out;
  out.url = ApiUrl::parse("wss://api.example.com/prefix/").value();
  out.token = SecretText{std::string{choices.text()}};
  out.id = choices.text();
  out.name = choices.text();
  out.system = {.os = std::string{choices.text()}, .version = "12", .arch = "x86_64", .kernel = {}};
  if (const auto forced = choices.below(4); forced != 0)
    out.generation = static_cast<Generation>(forced - 1);
  return out;
}

void run(Bytes input) {
  fuzz::Choices choices{input};
  const auto chosen = options(choices);
  Login login{chosen};
  constexpr std::array kStatuses{200, 301, 400, 401, 403, 404, 410, 422, 429, 500, 502, 503};
  while (!choices.empty()) {
    const auto request = login.request();
    // Nothing from outside ends the request line or a header early.
    FG_LAW(request.target.expose().find_first_of(" \r\n") == std::string::npos);
    FG_LAW(is_printable(request.user_agent));
    FG_LAW(request.authorization.has_value() == (login.generation() != Generation::a));

    UpgradeRefusal refusal;
    refusal.status = kStatuses[choices.below(kStatuses.size())];
    if (choices.flag()) refusal.retry_after = std::string{choices.text()};
    refusal.content_type =
        choices.flag() ? "application/problem+json; charset=utf-8" : std::string{choices.text()};
    refusal.body = choices.text();
    const auto before = login.generation();
    const auto verdict = login.on_refused(refusal, fuzz::kWallStart);
    FG_LAW(is_printable(verdict.reason) && !verdict.reason.empty() &&
           verdict.reason.size() <= kRefusalTextMax + 100);
    FG_LAW(!verdict.retry_after ||
           (*verdict.retry_after >= 0s && *verdict.retry_after <= kRetryAfterMax));
    FG_LAW((verdict.kind != Verdict::Kind::fatal) || refusal.status == 401);
    if (verdict.kind == Verdict::Kind::retry_other) FG_LAW(login.generation() != before);
    if (chosen.generation) FG_LAW(login.generation() == *chosen.generation);
    if (refusal.retry_after) {
      const auto later = parse_retry_after(*refusal.retry_after, fuzz::kWallStart + 1h);
      const auto soon = parse_retry_after(*refusal.retry_after, fuzz::kWallStart);
      FG_LAW(later.has_value() == soon.has_value() && (!soon || *later <= *soon));
    }
  }
}

}  // namespace

FG_FUZZ_TARGET(run)
