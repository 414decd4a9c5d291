// What anybody who may connect can say to the control socket, and what a program of another version
// may answer: a request that is accepted is within its limits and written again is the same; every
// reply is one line that can be shown.
#include "control/console/reply.h"
#include "control/console/request.h"
#include "control/console/table.h"
#include "tests/fuzz/support.h"

namespace {

using namespace fg;
using namespace fg::console;

bool is_one_line(const std::string& text) { return text.find('\n') == std::string::npos; }

void run(Bytes input) {
  const auto text = as_text(input);
  if (const auto request = parse_request(text)) {
    const auto line = write_request(*request);
    FG_LAW(is_one_line(line) && line.size() < kRequestMax);
    const auto again = parse_request(line);
    // Words that are no UTF-8 cannot be said; JSON has none.
    FG_LAW(again && *again == *request);
  }
  const auto error = write_error(text);
  FG_LAW(is_one_line(error));
  FG_LAW(show(error) && show(error)->exit_code == kRefused);
  if (const auto shown = show(text)) {
    FG_LAW(shown->exit_code == kWorked || shown->exit_code == kRefused ||
           shown->exit_code == kWouldNotPass);
    // The one thing a terminal obeys here is the end of a line.
    FG_LAW(std::ranges::none_of(shown->text, [](char c) {
      return (static_cast<unsigned char>(c) < 0x20 && c != '\n') || c == 0x7F;
    }));
  }
  const std::string page{text};
  FG_LAW(is_one_line(join_peers({page, page})));
  (void)next_of(page);
}

}  // namespace

FG_FUZZ_TARGET(run)
