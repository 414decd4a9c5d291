// Plays portal, relay and any number of clients of generation B for one gateway.
//
//   firegate-lab-swarm listen=IP:PORT echo=IP:PORT [clients=100] [rate=100] [steady=0] [calm=0]
//       [churn=0] [seconds=0]
//
// One line of JSON when it listens, when every client has been served, and at the end (SIGTERM).
#include <csignal>
#include <cstdio>
#include <exception>
#include <map>
#include <stdexcept>
#include <string>

#include "crypto/crypto.h"
#include "tests/support/swarm/swarm.h"

namespace {

volatile std::sig_atomic_t g_stop = 0;

fg::swarm::Options parse(int argc, char** argv) {
  std::map<std::string, std::string> words = {{"clients", "100"}, {"rate", "100"},  {"steady", "0"},
                                              {"churn", "0"},     {"seconds", "0"}, {"calm", "0"}};
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const auto equals = word.find('=');
    if (equals == std::string::npos) throw std::runtime_error("not name=value: " + word);
    words[word.substr(0, equals)] = word.substr(equals + 1);
  }
  const auto address = [&](const char* name) {
    const auto out = fg::SocketAddress::parse(words[name]);
    if (!out || !out->ip.is_v4())
      throw std::runtime_error(std::string{"not an IPv4 address and port: "} + name);
    return *out;
  };
  return {.listen = address("listen"),
          .echo = address("echo"),
          .clients = static_cast<std::uint32_t>(std::stoul(words["clients"])),
          .rate = std::stod(words["rate"]),
          .steady = std::stod(words["steady"]),
          .calm = std::stod(words["calm"]),
          .churn = std::stod(words["churn"]),
          .seconds = std::stod(words["seconds"])};
}

}  // namespace

int main(int argc, char** argv) {
  struct sigaction action{};
  action.sa_handler = [](int) { g_stop = 1; };
  ::sigaction(SIGTERM, &action, nullptr);
  ::sigaction(SIGINT, &action, nullptr);
  try {
    fg::crypto::init();
    fg::swarm::Swarm{parse(argc, argv)}.run(g_stop);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "swarm: %s\n", e.what());
    return 2;
  }
}
