// A candidate line of the portal: what is read is written as a line that reads as the same
// candidate, but for raddr, which is ours to choose when we write.
#include "control/ice/candidate.h"
#include "tests/fuzz/support.h"

namespace {

using namespace fg;
using namespace fg::ice;

void run(Bytes input) {
  const auto text = as_text(input);
  const auto line = parse_line(text);
  if (!line) return;
  FG_LAW(text.size() <= kLineMax && text.starts_with("candidate:"));
  const auto& candidate = line->candidate;
  FG_LAW(!candidate.foundation.empty() && candidate.foundation.size() <= kFoundationMax);
  for (const auto form : {LineForm::standard, LineForm::legacy}) {
    const auto again = parse_line(to_line(candidate, "mp5g", form));
    FG_LAW(again.has_value());
    FG_LAW(again->candidate.kind == candidate.kind &&
           again->candidate.address == candidate.address);
    FG_LAW(again->candidate.base == candidate.base);
    FG_LAW(again->candidate.priority == candidate.priority &&
           again->candidate.foundation == candidate.foundation);
    FG_LAW(again->ufrag.has_value() == (form == LineForm::standard));
    // Invalidation compares lines: the second writing must not differ from the first.
    FG_LAW(to_line(again->candidate, "mp5g", form) == to_line(candidate, "mp5g", form));
  }
  const auto check = check_priority(candidate.priority);
  FG_LAW((check >> 24) == type_preference(CandidateKind::prflx) &&
         ((check ^ candidate.priority) & 0xFFFFFF) == 0);
  FG_LAW(pair_priority(candidate.priority, 1) >= pair_priority(1, 1) || candidate.priority == 0);
}

}  // namespace

FG_FUZZ_TARGET(run)
