// What idle clients cost before anybody looks into their datagrams: a plain UDP program that takes
// and sends as many of them, as far apart, as a gateway does. Its processor time is the floor below
// which no gateway over sockets gets.
//
//   firegate-lab-floor listen=IP:PORT checks=N unanswered=M
//                                                 in the gateway's place: answers what comes, and
//                                                 every half second sends N of its own, and M that
//                                                 nobody answers
//   firegate-lab-floor target=IP:PORT rate=N      in the clients' place: N evenly spaced datagrams
//                                                 a second, and an answer to every check
#include <poll.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <exception>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/time.h"
#include "tests/support/client/sockets.h"

namespace {

using namespace fg;
using Clock = std::chrono::steady_clock;

constexpr std::size_t kSize = 100;  // of a check, about
constexpr std::uint8_t kRequest = 1;
constexpr std::uint8_t kAnswer = 2;
constexpr std::uint8_t kUnanswered = 3;
constexpr Duration kBetweenChecks = 500ms;  // as the gateway's

volatile std::sig_atomic_t g_stop = 0;

class Floor {
 public:
  explicit Floor(std::map<std::string, std::string> words) : words_(std::move(words)) {
    const bool listens = words_.contains("listen");
    const auto at = SocketAddress::parse(words_[listens ? "listen" : "target"]);
    auto opened = client::Sockets::open(listens && at ? at->port : std::uint16_t{0}, 0);
    if (!at || !opened) throw std::runtime_error("cannot listen or not an address");
    sockets_.emplace(std::move(*opened));
    checks_ = listens ? std::stoul(words_["checks"]) : 1;
    unanswered_ = listens ? std::stoul(words_["unanswered"]) : 0;
    between_ = listens ? kBetweenChecks
                       : std::chrono::duration_cast<Duration>(
                             std::chrono::duration<double>{1 / std::stod(words_["rate"])});
    if (!listens) peer_ = *at;
  }

  void run() {
    std::vector<pollfd> fds;
    for (const int fd : sockets_->fds()) fds.push_back({fd, POLLIN, 0});
    auto due = Clock::now() + between_;
    std::puts("running");
    std::fflush(stdout);
    while (g_stop == 0) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(due - Clock::now());
      (void)::poll(fds.data(), fds.size(), std::max(0, static_cast<int>(left.count())));
      out_.clear();
      for (const auto& fd : fds) {
        if ((fd.revents & POLLIN) != 0) take(fd.fd);
      }
      if (Clock::now() >= due) {
        due += between_;
        for (std::size_t i = 0; peer_ && i < checks_; ++i) say(*peer_, request_);
        for (std::size_t i = 0; peer_ && i < unanswered_; ++i) say(*peer_, unheard_);
      }
      sockets_->send(out_);
    }
  }

 private:
  void say(const SocketAddress& to, const std::array<std::uint8_t, kSize>& what) {
    out_.push_back({.to = to, .from = {}, .segment = kSize, .bytes = what});
  }
  void take(int fd) {
    for (const auto& received : sockets_->receive(fd)) {
      if (!peer_) peer_ = received.from;
      for (std::size_t at = 0; at < received.bytes.size(); at += received.segment) {
        if (received.bytes[at] == kRequest) say(received.from, answer_);
      }
    }
  }

  std::map<std::string, std::string> words_;
  std::optional<client::Sockets> sockets_;
  std::optional<SocketAddress> peer_;
  std::size_t checks_ = 1;
  std::size_t unanswered_ = 0;
  Duration between_{};
  std::vector<OutgoingDatagrams> out_;
  const std::array<std::uint8_t, kSize> request_{kRequest};
  const std::array<std::uint8_t, kSize> answer_{kAnswer};
  const std::array<std::uint8_t, kSize> unheard_{kUnanswered};
};

}  // namespace

int main(int argc, char** argv) {
  struct sigaction action{};
  action.sa_handler = [](int) { g_stop = 1; };
  ::sigaction(SIGTERM, &action, nullptr);
  try {
    std::map<std::string, std::string> words;
    for (int i = 1; i < argc; ++i) {
      const std::string word = argv[i];
      const auto equals = word.find('=');
      if (equals == std::string::npos) throw std::runtime_error("not name=value: " + word);
      words[word.substr(0, equals)] = word.substr(equals + 1);
    }
    Floor{std::move(words)}.run();
  } catch (const std::exception& e) {
    std::fprintf(stderr, "floor: %s\n", e.what());
    return 2;
  }
}
