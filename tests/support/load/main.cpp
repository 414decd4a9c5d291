// Plays portal, relay, clients and resource for one gateway, a WireGuard peer or a router, and
// offers it loads.
//
//   firegate-lab-load kind=firezone|wireguard|plain listen=IP:PORT gateway=IP:PORT [key=BASE64]
//       resource=IP:PORT wan=INTERFACE wan_other=MAC lan=INTERFACE lan_host=NAMESPACE lan_other=MAC
//       [generation=A|B|C]    of the portal; otherwise as the gateway asks
//
// Commands come by standard input, a line each; a line of JSON answers each.
//
//   peers clients=N                               keys and addresses of the clients to come
//   connect clients=N [rate=90] [seconds=120]     until so many have a session
//   load [up=RATE] [down=RATE] [sizes=64] [seconds=1] [clients=1] [flows=1] [run=1]
//       [ahead=0] [tick_us=200] [mask=255] [spoofed=0]    opens the flows, answers, and waits for
//   go                                            starts the clock
//   acknowledge                                   after a load down: as clients do that received
//   ping [count=100] [interval=0.02]
//   progress                                      how far gateway and clients have come
#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>

#include "crypto/crypto.h"
#include "tests/support/load/generator.h"

namespace {

using namespace fg;
using namespace fg::load;
using Words = std::map<std::string, std::string>;

Words words_of(std::istream& in) {
  Words out;
  for (std::string word; in >> word;) {
    const auto equals = word.find('=');
    if (equals == std::string::npos) throw std::runtime_error("not name=value: " + word);
    out[word.substr(0, equals)] = word.substr(equals + 1);
  }
  return out;
}

SocketAddress address_of(Words& words, const char* name) {
  const auto out = SocketAddress::parse(words[name]);
  if (!out || !out->ip.is_v4())
    throw std::runtime_error(std::string{"not an IPv4 address and port: "} + name);
  return *out;
}

Mac mac_of(Words& words, const char* name) {
  Mac out{};
  std::istringstream in{words[name]};
  std::string part;
  for (auto& byte : out) {
    if (!std::getline(in, part, ':')) throw std::runtime_error(std::string{"not a MAC: "} + name);
    byte = static_cast<std::uint8_t>(std::stoul(part, nullptr, 16));
  }
  return out;
}

Site site_of(Words words) {
  static const std::map<std::string, Kind> kKinds = {
      {"firezone", Kind::firezone}, {"wireguard", Kind::wireguard}, {"plain", Kind::plain}};
  const auto kind = kKinds.find(words["kind"]);
  if (kind == kKinds.end()) throw std::runtime_error("no such kind: " + words["kind"]);
  return {.kind = kind->second,
          .listen = address_of(words, "listen"),
          .gateway = address_of(words, "gateway"),
          .key = words["key"],
          .resource = address_of(words, "resource"),
          .generation = swarm::generation_of(words["generation"]),
          .wan = {words["wan"], "", mac_of(words, "wan_other"), {}},
          .lan = {words["lan"], words["lan_host"], mac_of(words, "lan_other"), {}}};
}

double number(Words& words, const char* name, double otherwise) {
  const auto found = words.find(name);
  return found == words.end() ? otherwise : std::stod(found->second);
}

Load load_of(Words words) {
  Load out;
  const auto whole = [&](const char* name, std::uint32_t otherwise) {
    return static_cast<std::uint32_t>(number(words, name, otherwise));
  };
  out.up = number(words, "up", 0);
  out.down = number(words, "down", 0);
  out.seconds = number(words, "seconds", 1);
  out.clients = whole("clients", 1);
  out.flows = whole("flows", 1);
  out.run = whole("run", 1);
  out.ahead = whole("ahead", 0);
  out.tick_us = whole("tick_us", out.tick_us);
  out.sample_mask = static_cast<std::uint8_t>(whole("mask", 255));
  out.is_spoofed = whole("spoofed", 0) != 0;
  out.sizes.clear();
  std::istringstream sizes{words.contains("sizes") ? words["sizes"] : "64"};
  for (std::string size; std::getline(sizes, size, ',');) {
    const auto n = std::stoul(size);
    if (n < Content::kSize || n > 1252) throw std::runtime_error("sizes are 20 to 1252 bytes");
    out.sizes.push_back(static_cast<std::uint16_t>(n));
  }
  return out;
}

Json answer(Generator& generator, const std::string& line) {
  std::istringstream in{line};
  std::string command;
  in >> command;
  auto words = words_of(in);
  if (command == "connect") {
    return generator.connect(static_cast<std::uint32_t>(number(words, "clients", 1)),
                             number(words, "rate", 90), number(words, "seconds", 120));
  }
  if (command == "peers")
    return generator.peers(static_cast<std::uint32_t>(number(words, "clients", 1)));
  if (command == "load") return generator.prepare(load_of(words));
  if (command == "go") return generator.run();
  if (command == "acknowledge") return generator.acknowledge();
  if (command == "progress") return generator.progress();
  if (command == "ping") {
    return generator.ping(static_cast<std::uint32_t>(number(words, "count", 100)),
                          number(words, "interval", 0.02));
  }
  throw std::runtime_error("no such command: " + command);
}

void say(const Json& what) {
  std::puts(what.dump().c_str());
  std::fflush(stdout);
}

// Until standard input ends.
void serve(Generator& generator) {
  std::string waiting;
  bool has_joined = false;
  while (true) {
    std::vector<pollfd> fds{{STDIN_FILENO, POLLIN, 0}};
    for (const int fd : generator.fds()) fds.push_back({fd, POLLIN, 0});
    (void)::poll(fds.data(), fds.size(), 5);
    generator.turn();
    if (!has_joined && generator.is_joined()) {
      has_joined = true;
      say({{"joined", swarm::letter_of(generator.generation())}});
    }
    if (fds[0].revents == 0) continue;
    std::array<char, 4096> buffer;
    const auto n = ::read(STDIN_FILENO, buffer.data(), buffer.size());
    if (n <= 0) return;
    waiting.append(buffer.data(), static_cast<std::size_t>(n));
    for (auto end = waiting.find('\n'); end != std::string::npos; end = waiting.find('\n')) {
      const auto line = waiting.substr(0, end);
      waiting.erase(0, end + 1);
      try {
        say(answer(generator, line));
      } catch (const std::exception& e) {
        say({{"error", e.what()}});
      }
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  try {
    crypto::init();
    ::prctl(PR_SET_TIMERSLACK, 1);
    std::stringstream options;
    for (int i = 1; i < argc; ++i) options << argv[i] << ' ';
    Generator generator{site_of(words_of(options))};
    say({{"listening", true}});
    serve(generator);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "load: %s\n", e.what());
    return 2;
  }
}
