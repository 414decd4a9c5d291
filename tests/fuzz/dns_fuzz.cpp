// DNS messages of anybody, and the forwarder between clients and name servers of whom either may
// say anything at any time: every query is answered once, rightly, in time; nobody else's answer is
// believed.
#include <map>
#include <set>

#include "control/dns/forwarder.h"
#include "control/dns/stream.h"
#include "tests/fuzz/support.h"

namespace {

using namespace fg;
using namespace fg::dns;

void one_message(Bytes input) {
  if (const auto message = Message::parse(input)) {
    FG_LAW(message->question.size() + kHeaderSize <= input.size());
    const auto cut = truncated(input);
    const auto again = Message::parse(cut);
    FG_LAW(again && again->id == message->id && again->rcode == message->rcode);
    FG_LAW(cut.size() == kHeaderSize + message->question.size());
    FG_LAW(equal(again->question, message->question));
  }
  if (const auto query = parse_query(input)) {
    const auto failure = server_failure(input);
    const auto reply = Message::parse(failure);
    FG_LAW(reply && reply->rcode == 2 && is_answer_to(*reply, *query));
    FG_LAW(!parse_query(failure) && !is_answer_to(*query, *query));
  }
  const auto servers = parse_resolv_conf(as_text(input));
  FG_LAW(servers.size() <= kServersMax);
  FG_LAW((std::set<IpAddress>{servers.begin(), servers.end()}.size() == servers.size()));
}

// However a stream is cut, the same messages come out.
void one_stream(Bytes input) {
  StreamReader whole, pieces;
  whole.append(input);
  std::vector<ByteVector> expected, found;
  while (auto message = whole.poll_message()) expected.push_back(std::move(*message));
  for (const auto& byte : input) {
    pieces.append({&byte, 1});
    while (auto message = pieces.poll_message()) found.push_back(std::move(*message));
  }
  FG_LAW(found == expected);
}

class World {
 public:
  explicit World(Bytes input) : choices_(input) {}

  void run() {
    set_servers();
    drain();
    while (!choices_.empty()) {
      step();
      drain();
      check();
    }
    now_ += kForwardTimeout;
    forwarder_.on_timeout(now_);
    drain();
    FG_LAW(forwarder_.in_flight() == 0 && asked_.empty());
  }

 private:
  struct Asked {
    ByteVector query;
    Transport transport;
    Instant at;
  };

  void step() {
    switch (choices_.below(8)) {
      case 0:
      case 1:
        return ask(well_formed_query());
      case 2:
        return ask(copy_of(choices_.bytes()));
      case 3:
        return answer();
      case 4:
        return say(copy_of(choices_.bytes()));
      case 5:
        return fail_or_abandon();
      case 6:
        return set_servers();
      default:
        now_ += choices_.pause();
        if (const auto due = forwarder_.wakeup(); due && due->at <= now_)
          forwarder_.on_timeout(now_);
    }
  }
  void set_servers() {
    std::vector<SocketAddress> servers;
    for (std::size_t i = choices_.below(13); i > 0; --i) servers.push_back(server(i));
    forwarder_.set_servers(std::move(servers), now_);
  }
  static SocketAddress server(std::size_t n) {
    return {IpAddress::v4(192, 0, 2, static_cast<std::uint8_t>(n)), kServerPort};
  }
  ByteVector well_formed_query() {
    return address_query(choices_.u16(), choices_.flag() ? "wiki.lab.test" : "Lab.test");
  }
  void ask(ByteVector query) {
    const auto transport = choices_.flag() ? Transport::tcp : Transport::udp;
    const auto client = IpAddress::v4(100, 64, 0, choices_.u8() & 31);
    const auto before = forwarder_.in_flight();
    const auto id = forwarder_.on_query(transport, client, query, now_);
    FG_LAW(id.has_value() == parse_query(query).has_value());
    FG_LAW(forwarder_.in_flight() - before <= 1);
    if (id) FG_LAW(asked_.emplace(*id, Asked{std::move(query), transport, now_}).second);
  }
  const Forwarder::Exchange* any() {
    if (open_.empty()) return nullptr;
    auto at = open_.begin();
    std::advance(at, static_cast<std::ptrdiff_t>(choices_.below(open_.size())));
    return &at->second;
  }
  // What an honest name server says, in all sizes, perhaps from the wrong address.
  void answer() {
    const auto* exchange = any();
    if (exchange == nullptr) return;
    auto bytes = exchange->message;
    bytes[2] |= 0x80;
    bytes[3] = static_cast<std::uint8_t>(0x80 | (choices_.u8() & 0x0F));
    bytes.resize(std::min(bytes.size() + choices_.u16(), kMessageMax));
    const bool is_honest = choices_.u8() < 200;
    forwarder_.on_message(exchange->id, is_honest ? exchange->server : server(99), bytes, now_);
  }
  void say(ByteVector bytes) {
    const auto* exchange = any();
    if (exchange == nullptr) return;
    if (choices_.flag() && bytes.size() >= 2)
      std::copy_n(exchange->message.begin(), 2, bytes.begin());
    forwarder_.on_message(exchange->id, exchange->server, bytes, now_);
  }
  void fail_or_abandon() {
    const auto* exchange = any();
    if (exchange == nullptr) return;
    if (choices_.flag()) return forwarder_.on_failure(exchange->id, now_);
    if (asked_.erase(exchange->id) != 0) forwarder_.abandon(exchange->id);
  }

  void drain() {
    while (auto exchange = forwarder_.poll_exchange()) {
      FG_LAW(exchange->server.port == kServerPort && parse_query(exchange->message));
      const auto id = exchange->id;
      FG_LAW(open_.emplace(id, std::move(*exchange)).second);
    }
    while (const auto id = forwarder_.poll_over()) FG_LAW(open_.erase(*id) == 1);
    while (const auto reply = forwarder_.poll_answer()) {
      const auto asked = asked_.extract(reply->id);
      FG_LAW(!asked.empty());  // once, and not after it was abandoned
      const auto& [query, transport, at] = asked.mapped();
      FG_LAW(is_answer_to(*Message::parse(reply->message), *parse_query(query)));
      FG_LAW(transport == Transport::tcp || reply->message.size() <= kUdpReplyMax);
    }
  }
  void check() const {
    FG_LAW(forwarder_.in_flight() == asked_.size());
    FG_LAW(asked_.size() <= kForwardsMax);
    FG_LAW(open_.size() <= asked_.size() + 2 * kServersMax);
    const auto due = forwarder_.wakeup();
    FG_LAW(asked_.empty() || due);
    for (const auto& [id, asked] : asked_) FG_LAW(due->at <= asked.at + kForwardTimeout);
  }

  fuzz::Choices choices_;
  SeededRandom random_{1};
  DropCounters drops_;
  Forwarder forwarder_{random_, drops_};
  Instant now_ = fuzz::kStart;
  std::map<ExchangeId, Asked> asked_;
  std::map<ExchangeId, Forwarder::Exchange> open_;
};

void run(Bytes input) {
  if (input.empty()) return;
  const auto rest = input.subspan(1);
  switch (input[0] % 3) {
    case 0:
      return one_message(rest);
    case 1:
      return one_stream(rest);
    default:
      World{rest}.run();
  }
}

}  // namespace

FG_FUZZ_TARGET(run)
