// Sends what a stranger can send, as fast as told, for as long as told, and counts what comes back
// to each of its sources. One line of JSON at the end.
//
//   firegate-lab-flood kind=KIND target=IP:PORT [rate=50000] [seconds=3] [sources=4096]
//       [from=IP:PORT] [key=BASE64] [username=US:THEM] [interface=eth0] [sniff_ms=2000] [run=1]
//
// Sources are spoofed: 198.18.0.0 onwards, or the one named by `from`. With `run` above 1 that many
// datagrams of one size and source follow each other, and cross the hosts in between as one
// super-packet, as a card or a virtual machine's host hands them over: the sender needs a fraction
// of the processor time, so that a flood is limited by the gateway and not by who sends. The kind
// "replay" first records what others on this host send to the target, for `sniff_ms` or 4096
// datagrams, and then sends that again, from the same sources.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <map>
#include <stdexcept>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "base/encoding.h"
#include "crypto/random.h"
#include "tests/support/flood/messages.h"
#include "tests/support/flood/raw_link.h"

namespace {

using namespace fg;
using namespace fg::flood;
using Clock = std::chrono::steady_clock;

constexpr std::uint32_t kFirstSource = 0xC6120000;  // 198.18.0.0/15, RFC 2544
constexpr std::size_t kPackets = 4096;
constexpr double kSecondsMax = 120;
constexpr int kCookieReply = 3;
constexpr std::size_t kRunsAtOnce = 4;

using Options = std::map<std::string, std::string>;
Options parse(int argc, char** argv) {
  Options out = {{"rate", "50000"},     {"seconds", "3"}, {"sources", "4096"},  {"from", ""},
                 {"key", ""},           {"username", ""}, {"sniff_ms", "2000"}, {"kind", ""},
                 {"interface", "eth0"}, {"target", ""},   {"run", "1"}};
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const auto equals = word.find('=');
    if (equals == std::string::npos || !out.contains(word.substr(0, equals)))
      throw std::runtime_error("no such option: " + word);
    out[word.substr(0, equals)] = word.substr(equals + 1);
  }
  return out;
}

SocketAddress address_of(const std::string& text) {
  const auto out = SocketAddress::parse(text);
  if (!out || !out->ip.is_v4()) throw std::runtime_error("not an IPv4 address and port: " + text);
  return *out;
}

struct Traffic {
  std::uint64_t bytes_sent = 0;
  std::uint64_t bytes_back = 0;
};

struct Tally {
  std::uint64_t sent = 0;
  std::uint64_t replies = 0;
  std::uint64_t cookies = 0;
  std::size_t largest_reply = 0;
  Traffic total;
  std::unordered_map<IpAddress, Traffic> by_source;
};

class Flood {
 public:
  explicit Flood(Options options)
      : options_(std::move(options)),
        target_(address_of(options_["target"])),
        is_replay_(options_["kind"] == "replay"),
        run_(std::clamp<std::size_t>(std::stoul(options_["run"]), 1, kSegmentsMax)),
        link_(options_["interface"], is_replay_) {
    if (is_replay_)
      record();
    else
      make();
  }

  void run() {
    const auto rate = std::stod(options_["rate"]);
    const auto seconds = std::min(std::stod(options_["seconds"]), kSecondsMax);
    const auto began = Clock::now();
    const std::chrono::duration<double> batch_time{
        static_cast<double>(run_ > 1 ? kRunsAtOnce * run_ : RawLink::kBatch) / rate};
    const auto step = std::chrono::duration_cast<Clock::duration>(batch_time);
    auto due = began;
    std::puts("flooding");
    std::fflush(stdout);
    while (!packets_.empty() && Clock::now() - began < std::chrono::duration<double>{seconds}) {
      if (run_ > 1)
        send_runs();
      else
        send_batch();
      receive();
      due += step;
      // What a busy machine made us miss is not made up for.
      if (const auto now = Clock::now(); due > now)
        std::this_thread::sleep_until(due);
      else
        due = now;
    }
    const std::chrono::duration<double> took = Clock::now() - began;
    std::this_thread::sleep_for(std::chrono::milliseconds{300});
    receive();
    report(took.count());
  }

 private:
  void make() {
    crypto::SystemRandom random;
    Knowledge knowledge{options_["kind"], {}, options_["username"]};
    if (const auto key = decode_base64(options_["key"]); key && key->size() == 32)
      std::copy_n(key->begin(), 32, knowledge.gateway_key.begin());
    checks_ = checks_per_second(random);
    const auto sources = static_cast<std::uint32_t>(std::stoul(options_["sources"]));
    for (std::uint32_t i = 0; i < kPackets; ++i) {
      std::array<std::uint8_t, 4> ip;
      store_be32(ip.data(), kFirstSource + static_cast<std::uint32_t>(i / run_) % sources);
      auto from = options_["from"].empty()
                      ? SocketAddress{IpAddress::from_bytes(ip),
                                      static_cast<std::uint16_t>(20'000 + i % 999)}
                      : address_of(options_["from"]);
      const auto message = make_message(knowledge, random);
      if (message.empty()) throw std::runtime_error("no such kind: " + knowledge.kind);
      if (run_ > 1) append_to_run(i, from, message);
      packets_.push_back(ip_packet(from, target_, message));
    }
  }

  void record() {
    const auto until = Clock::now() + std::chrono::milliseconds{std::stoi(options_["sniff_ms"])};
    std::puts("recording");
    std::fflush(stdout);
    while (Clock::now() < until && packets_.size() < kPackets) {
      link_.receive([&](const RawLink::Seen& seen) {
        if (seen.to == target_ && packets_.size() < kPackets)
          packets_.push_back(ip_packet(seen.from, seen.to, seen.payload));
      });
      std::this_thread::sleep_for(std::chrono::milliseconds{1});
    }
    recorded_ = packets_.size();
  }

  void append_to_run(std::size_t i, const SocketAddress& from, Bytes message) {
    if (i % run_ == 0) runs_.push_back({from.ip, static_cast<std::uint16_t>(message.size()), {}});
    auto& last = runs_.back();
    if (message.size() != last.segment) throw std::runtime_error("a run needs one size");
    last.bytes.insert(last.bytes.end(), message.begin(), message.end());
  }

  void send_runs() {
    std::array<OutgoingDatagrams, kRunsAtOnce> batch;
    for (auto& one : batch) {
      const auto& run = runs_[next_++ % runs_.size()];
      one = {.to = target_, .from = run.source, .segment = run.segment, .bytes = run.bytes};
    }
    tally_.sent += spoofed_.send(batch).datagrams;
    for (const auto& one : batch) {
      tally_.by_source[*one.from].bytes_sent += one.bytes.size();
      tally_.total.bytes_sent += one.bytes.size();
    }
  }

  void send_batch() {
    std::array<Bytes, RawLink::kBatch> batch;
    const auto n = std::min(batch.size(), packets_.size());
    for (std::size_t i = 0; i < n; ++i) batch[i] = packets_[(next_ + i) % packets_.size()];
    const auto sent = link_.send(std::span{batch}.first(n));
    for (const auto& packet : std::span{batch}.first(sent)) {
      const auto payload = packet.size() - 28;
      tally_.by_source[IpAddress::from_bytes(packet.subspan(12, 4))].bytes_sent += payload;
      tally_.total.bytes_sent += payload;
    }
    tally_.sent += sent;
    next_ += std::max<std::size_t>(sent, 1);  // past one that is refused
  }

  void receive() {
    link_.receive([&](const RawLink::Seen& seen) {
      if (seen.from != target_) return;
      const auto source = tally_.by_source.find(seen.to.ip);
      if (source == tally_.by_source.end()) return;
      ++tally_.replies;
      if (!seen.payload.empty() && seen.payload[0] == kCookieReply) ++tally_.cookies;
      tally_.largest_reply = std::max(tally_.largest_reply, seen.payload.size());
      source->second.bytes_back += seen.payload.size();
      tally_.total.bytes_back += seen.payload.size();
    });
  }

  void report(double seconds) {
    double worst = 0;
    for (const auto& [ip, traffic] : tally_.by_source)
      worst = std::max(
          worst, static_cast<double>(traffic.bytes_back) / static_cast<double>(traffic.bytes_sent));
    std::printf(
        "{\"sent\": %lu, \"per_second\": %.0f, \"sources\": %zu, \"bytes_sent\": %lu, "
        "\"replies\": %lu, \"cookies\": %lu, \"bytes_back\": %lu, \"largest_reply\": %zu, "
        "\"worst_ratio\": %.4f, \"recorded\": %zu, \"checks_per_second\": %.0f}\n",
        tally_.sent, static_cast<double>(tally_.sent) / seconds, tally_.by_source.size(),
        tally_.total.bytes_sent, tally_.replies, tally_.cookies, tally_.total.bytes_back,
        tally_.largest_reply, worst, recorded_, checks_);
  }

  Options options_;
  SocketAddress target_;
  bool is_replay_;
  struct Run {
    IpAddress source;
    std::uint16_t segment = 0;
    ByteVector bytes;
  };
  std::size_t run_;
  std::vector<Run> runs_;
  SpoofingSocket spoofed_;
  RawLink link_;
  std::vector<ByteVector> packets_;
  std::size_t next_ = 0;
  std::size_t recorded_ = 0;
  double checks_ = 0;
  Tally tally_;
};

}  // namespace

int main(int argc, char** argv) {
  try {
    Flood{parse(argc, argv)}.run();
  } catch (const std::exception& e) {
    std::fprintf(stderr, "flood: %s\n", e.what());
    return 2;
  }
}
