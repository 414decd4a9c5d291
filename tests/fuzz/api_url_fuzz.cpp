// The portal's address: what is accepted can be put into a request, and written again it is the
// same.
#include "control/portal/api_url.h"
#include "tests/fuzz/support.h"

namespace {

using namespace fg;
using namespace fg::portal;

void run(Bytes input) {
  const auto text = as_text(input);
  const auto encoded = form_encode(text);
  FG_LAW(std::ranges::all_of(encoded, [](char c) { return c > ' ' && c <= '~'; }));
  const auto url = ApiUrl::parse(text);
  if (!url) return;
  FG_LAW(!url->host.empty() && url->host.find_first_of(" /?#@[]\r\n") == std::string::npos);
  FG_LAW(url->path.empty() || url->path.front() == '/');
  FG_LAW(std::ranges::all_of(url->path, [](char c) { return c > ' ' && c <= '~'; }));
  const bool is_v6 = url->host.find(':') != std::string::npos;
  const auto host = is_v6 ? "[" + url->host + "]" : url->host;
  const auto again = ApiUrl::parse((url->is_tls ? "wss://" : "ws://") + host + ":" +
                                   std::to_string(url->port) + url->path + "/");
  FG_LAW(again && again->is_tls == url->is_tls && again->host == url->host &&
         again->port == url->port);
  FG_LAW(again->path == url->path);
}

}  // namespace

FG_FUZZ_TARGET(run)
