#include "tests/support/swarm/swarm.h"

#include <poll.h>

#include <algorithm>
#include <cstdio>
#include <stdexcept>

#include "runtime/clock.h"

namespace fg::swarm {
namespace {

constexpr std::size_t kClientSockets = 16;
constexpr Duration kAskAgain = 1s;
constexpr int kWaitMs = 2;
double seconds_of(Duration d) { return std::chrono::duration<double>(d).count(); }

}  // namespace

Swarm::Swarm(Options options)
    : options_(std::move(options)),
      crowd_({options_.listen, options_.echo.ip},
             {.send = [this](const Place& by, const SocketAddress& to,
                             Bytes bytes) { send(to, bytes, socket_of(by)); },
              .on_turn = [this](Member& one) { introduce(one); },
              .on_echoed = [this](Member& one, const Echoed& what) { on_echoed(one, what); }}),
      now_(crowd_.now()) {
  for (std::size_t i = 0; i <= kClientSockets; ++i) {
    auto opened = client::Sockets::open(i == 0 ? Relay::kPort : std::uint16_t{0}, 0);
    if (!opened) throw std::runtime_error(opened.error().to_string());
    sockets_.push_back(std::move(*opened));
  }
}

void Swarm::run(const volatile int& stop) {
  std::puts("{\"event\": \"listening\"}");
  std::fflush(stdout);
  const auto is_over = [&] {
    return stop != 0 ||
           (complete_ && options_.seconds > 0 && seconds_of(now_ - *complete_) > options_.seconds);
  };
  while (!is_over()) turn();
  report("end");
}

void Swarm::turn() {
  std::vector<pollfd> fds;
  for (const auto& sockets : sockets_) {
    for (const int fd : sockets.fds()) fds.push_back({fd, POLLIN, 0});
  }
  (void)::poll(fds.data(), fds.size(), kWaitMs);
  now_ = runtime::monotonic_now();
  crowd_.set_time(now_, runtime::wall_now());
  crowd_.poll();
  receive();
  crowd_.serve_due();
  if (!crowd_.joined()) return;
  while (tally_.let_in < options_.clients &&
         static_cast<double>(tally_.let_in) <
             seconds_of(now_ - *crowd_.joined()) * options_.rate + 1) {
    let_in();
  }
  ask();
  if (!complete_ && tally_.served >= options_.clients) {
    complete_ = now_;
    report("complete");
  }
  replace_some();
}

void Swarm::let_in() {
  const auto number = next_number_++;
  const auto& by = sockets_[1 + number % kClientSockets];
  crowd_.let_in({number, {options_.listen.ip, by.port()}});
  ++tally_.let_in;
}

// The oldest but the steady one say goodbye, others come.
void Swarm::replace_some() {
  if (!complete_ || options_.churn <= 0) return;
  auto& members = crowd_.members();
  while (static_cast<double>(tally_.left) < seconds_of(now_ - *complete_) * options_.churn) {
    const auto oldest = std::next(members.begin());
    if (oldest == members.end()) return;
    oldest->second.client->say_goodbye(now_);
    crowd_.drain(oldest->second);
    crowd_.forget(oldest->first);
    ++tally_.left;
    let_in();
  }
}

// ---- datagrams ----

void Swarm::receive() {
  for (auto& sockets : sockets_) {
    for (const int fd : sockets.fds()) {
      for (auto received = sockets.receive(fd); !received.empty(); received = sockets.receive(fd)) {
        for (auto& run : received) {
          auto rest = run.bytes;
          while (!rest.empty()) {
            const auto one = rest.first(std::min<std::size_t>(rest.size(), run.segment));
            rest = rest.subspan(one.size());
            on_datagram(one, run.from, run.local);
          }
        }
      }
    }
  }
}

void Swarm::on_datagram(MutableBytes datagram, const SocketAddress& from,
                        const SocketAddress& local) {
  if (local.port == Relay::kPort) {
    if (const auto answer = crowd_.relay_answer(datagram, from)) send(from, *answer, sockets_[0]);
    return;
  }
  crowd_.on_datagram(datagram, from);
}

// A client with a session sends its first request, again and again until it is answered.
void Swarm::introduce(Member& one) {
  const auto number = one.client->place().number;
  if (!one.client->has_session() || served_.contains(number)) return;
  if (one.again && *one.again > now_) return;
  if (waiting_.insert(number).second) ++tally_.sessions;
  one.again = now_ + kAskAgain;
  (void)one.client->request(options_.echo, 0, now_);
}

void Swarm::on_echoed(Member& one, const Echoed& echoed) {
  const auto number = one.client->place().number;
  if (served_.insert(number).second) {
    waiting_.erase(number);
    one.again.reset();
    ++tally_.served;
  }
  if (const auto sent = outstanding_.extract(echoed.sequence); !sent.empty()) {
    ++tally_.answers;
    tally_.milliseconds.push_back(seconds_of(now_ - sent.mapped()) * 1e3);
  }
}

// ---- the steady client ----

void Swarm::ask() {
  if (options_.steady <= 0 || crowd_.members().empty()) return;
  if (options_.calm > 0 && complete_ && seconds_of(now_ - *complete_) > options_.calm) return;
  auto& [number, first] = *crowd_.members().begin();
  if (!served_.contains(number)) return;
  if (!steady_since_) steady_since_ = now_;
  while (static_cast<double>(tally_.requests) <
         seconds_of(now_ - *steady_since_) * options_.steady) {
    ++tally_.requests;
    outstanding_[next_sequence_] = now_;
    (void)first.client->request(options_.echo, next_sequence_++, now_);
  }
  crowd_.serve(first);
}

void Swarm::send(const SocketAddress& to, Bytes bytes, client::Sockets& by) {
  const OutgoingDatagrams one{
      .to = to, .from = {}, .segment = static_cast<std::uint16_t>(bytes.size()), .bytes = bytes};
  by.send({&one, 1});
}

client::Sockets& Swarm::socket_of(const Place& place) {
  return sockets_[1 + place.number % kClientSockets];
}

void Swarm::report(const char* what) {
  auto sorted = tally_.milliseconds;
  std::ranges::sort(sorted);
  const auto at = [&](double part) {
    return sorted.empty()
               ? 0.0
               : sorted[static_cast<std::size_t>(part * static_cast<double>(sorted.size() - 1))];
  };
  std::uint64_t late = 0;  // younger ones may still be answered
  for (const auto& [sequence, sent] : outstanding_) late += now_ - sent > 1s ? 1U : 0U;
  std::printf(
      "{\"event\": \"%s\", \"seconds\": %.2f, \"let_in\": %lu, \"sessions\": %lu, \"served\": %lu, "
      "\"failed\": %lu, \"left\": %lu, \"requests\": %lu, \"answers\": %lu, \"lost\": %lu, "
      "\"median_ms\": %.2f, \"p99_ms\": %.2f, \"worst_ms\": %.2f}\n",
      what, crowd_.joined() ? seconds_of(now_ - *crowd_.joined()) : 0.0, tally_.let_in,
      tally_.sessions, tally_.served, crowd_.failed(), tally_.left, tally_.requests, tally_.answers,
      late, at(0.5), at(0.99), at(1.0));
  std::fflush(stdout);
}

}  // namespace fg::swarm
