// Ingest tokens, and the names on disk that come from them: what is accepted is complete, and no
// directory leads out of the spool.
#include "control/flow_log/ingest_token.h"
#include "control/flow_log/spool.h"
#include "tests/fuzz/support.h"

namespace {

using namespace fg;
using namespace fg::flow_log;

void run(Bytes input) {
  const auto text = as_text(input);
  (void)disclose(text);
  (void)parse_settings(text);
  const auto claims = parse_ingest_token(text);
  if (!claims) return;
  FG_LAW(text.size() <= kTokenBytesMax);
  FG_LAW(claims->role == "initiator" || claims->role == "responder");
  FG_LAW(claims->issued_at >= 0 && claims->expires_at >= 0);
  const auto directory = directory_of(*claims);
  if (!directory) return;
  FG_LAW(directory->size() == claims->role.size() + 1 + 36);
  FG_LAW(directory->find("..") == std::string::npos);
  FG_LAW(std::ranges::count(*directory, '/') == 1);
}

}  // namespace

FG_FUZZ_TARGET(run)
