#include "tests/support/load/generator.h"

#include <poll.h>

#include <algorithm>
#include <stdexcept>

#include "base/encoding.h"
#include "runtime/clock.h"
#include "tests/support/packets.h"
#include "wireguard/message.h"

namespace fg::load {
namespace {

constexpr std::uint16_t kFirstPort = 20'000;  // of a client: plus its number
constexpr std::uint16_t kClientsMax = 4096;
constexpr std::uint16_t kFirstInside = 1024;
constexpr std::uint32_t kNobody = 50'000;         // no client has this number
constexpr std::uint32_t kDataMark = 0x0400'0000;  // WireGuard message type 4, whitepaper §5.4.6
constexpr std::uint16_t kPingId = 0x4C44;
constexpr std::size_t kPingPayload = 56;
constexpr std::size_t kFrameStride = 1664;
constexpr std::uint32_t kOpenedAtOnce = 32;
constexpr double kAllocationMax = 10;  // until the gateway has one on our relay
constexpr double kDrain = 0.03;
constexpr int kDrainsMax = 60;
static_assert(kFrameStride >= kFrameMax);

Watch::Rule wan_rule(Kind kind) {
  if (kind == Kind::plain) return {kFirstInside, 65'535, Content::kMark, Content::kSize, 7, true};
  return {kFirstPort, kFirstPort + kClientsMax, kDataMark, wireguard::kDataOverhead + 1, 8, true};
}
Watch::Rule lan_rule(std::uint16_t port) {
  return {port, port, Content::kMark, Content::kSize, 7, false};
}

Link::Options with_rule(Link::Options options, const Watch::Rule& rule) {
  options.rule = rule;
  return options;
}

client::Sockets open_relay() {
  auto opened = client::Sockets::open(swarm::Relay::kPort, 0);
  if (!opened) throw std::runtime_error(opened.error().to_string());
  return std::move(*opened);
}

std::chrono::steady_clock::duration seconds(double s) {
  return std::chrono::duration_cast<std::chrono::steady_clock::duration>(
      std::chrono::duration<double>{s});
}
double seconds_since(std::chrono::steady_clock::time_point t) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - t).count();
}

bool is_ping_answer(Bytes ip) {
  return ip.size() >= 28 && ip[0] == 0x45 && ip[9] == 1 && ip[20] == 0;
}

}  // namespace

Generator::Generator(Site site)
    : site_(std::move(site)),
      crowd_({site_.listen, site_.resource.ip, site_.generation},
             {.send = [this](const swarm::Place& by, const SocketAddress& to,
                             Bytes bytes) { send_datagram(by, to, bytes); },
              .on_turn = {},
              .on_echoed = {}}),
      relay_(open_relay()),
      wan_(with_rule(site_.wan, wan_rule(site_.kind))),
      lan_(with_rule(site_.lan, lan_rule(site_.resource.port))),
      frames_(Link::kBatch * kFrameStride) {}

std::vector<int> Generator::fds() const {
  auto out = relay_.fds();
  out.push_back(wan_.fd());
  out.push_back(lan_.fd());
  return out;
}

void Generator::turn() {
  crowd_.set_time(runtime::monotonic_now(), runtime::wall_now());
  crowd_.poll();
  receive();
  crowd_.serve_due();
}

// ---- clients ----

swarm::Place Generator::place_of(const SocketAddress& listen, std::uint32_t number) {
  return {number, {listen.ip, static_cast<std::uint16_t>(kFirstPort + number)}};
}

std::uint32_t Generator::number_of(const SocketAddress& place) {
  return place.port - std::uint32_t{kFirstPort};
}

void Generator::add_peers(std::uint32_t clients) {
  for (std::uint32_t number = 1; number <= std::min<std::uint32_t>(clients, kClientsMax);
       ++number) {
    if (crowd_.find(number) == nullptr)
      crowd_.add_peer(place_of(site_.listen, number), site_.key, site_.gateway);
  }
}

Json Generator::peers(std::uint32_t clients) {
  add_peers(clients);
  Json out = Json::array();
  for (const auto& [number, member] : crowd_.members()) {
    out.push_back({{"key", base64(member.client->public_key())},
                   {"address", member.client->tunnel().to_string()}});
  }
  return out;
}

Json Generator::connect(std::uint32_t clients, double rate, double seconds_max) {
  if (clients > kClientsMax) throw std::runtime_error("more clients than there are ports for");
  if (site_.kind == Kind::plain) return {{"clients", clients}};
  if (site_.kind == Kind::wireguard) add_peers(clients);
  const auto began = Clock::now();
  const auto failed = crowd_.failed();
  const auto in = [&] {
    return std::ranges::count_if(crowd_.members(), [&](const auto& m) {
      return m.first <= clients && m.second.client->has_session();
    });
  };
  while (site_.kind == Kind::firezone && !crowd_.has_allocation() &&
         seconds_since(began) < std::min(seconds_max, kAllocationMax)) {
    wait_until(Clock::now() + std::chrono::milliseconds{5});
  }
  // Who failed meanwhile comes again. What is due and cannot be is not made up for: never a burst.
  for (auto& [number, member] : crowd_.members()) {
    if (member.client->is_plain()) member.is_let_in = member.client->has_session();
  }
  const auto apart = seconds(1 / rate);
  auto due = Clock::now();
  std::uint32_t next = 1;
  while (in() < clients && seconds_since(began) < seconds_max) {
    for (; due <= Clock::now(); due += apart) {
      const auto number = next_absent(clients, next);
      if (number) invite(*number);
      if (!number) due = Clock::now();
    }
    wait_until(Clock::now() + std::chrono::milliseconds{5});
  }
  return {
      {"clients", in()}, {"failed", crowd_.failed() - failed}, {"seconds", seconds_since(began)}};
}

std::optional<std::uint32_t> Generator::next_absent(std::uint32_t clients, std::uint32_t& from) {
  for (std::uint32_t looked = 0; looked < clients; ++looked) {
    const auto number = from;
    from = from % clients + 1;
    const auto* known = crowd_.find(number);
    if (known == nullptr) return number;
    if (known->client->is_plain() && !known->is_let_in) return number;
  }
  return std::nullopt;
}

void Generator::invite(std::uint32_t number) {
  auto* known = crowd_.find(number);
  if (known == nullptr) return crowd_.let_in(place_of(site_.listen, number));
  known->is_let_in = true;
  known->client->shake_hands(crowd_.now(), runtime::wall_now());
  crowd_.serve(*known);
}

void Generator::send_datagram(const swarm::Place& by, const SocketAddress& to, Bytes bytes) {
  if (to.ip != site_.gateway.ip || bytes.size() > 1472) return;
  std::array<std::uint8_t, kFrameMax> frame;
  const auto length = write_headers(frame.data(), wan_.ends(), by.address, to, bytes.size());
  std::ranges::copy(bytes, frame.begin() + kHeaders);
  const Bytes one{frame.data(), length};
  (void)wan_.send({&one, 1});
}

// ---- what arrives ----

void Generator::receive() {
  wan_.receive([this](MutableBytes frame) { on_wan(frame); });
  lan_.receive([this](MutableBytes frame) { on_lan(frame); });
  for (const int fd : relay_.fds()) {
    for (auto received = relay_.receive(fd); !received.empty(); received = relay_.receive(fd)) {
      for (const auto& run : received) {
        const auto one = run.bytes.first(std::min<std::size_t>(run.bytes.size(), run.segment));
        if (const auto answer = crowd_.relay_answer(one, run.from)) {
          const OutgoingDatagrams out{.to = run.from,
                                      .from = {},
                                      .segment = static_cast<std::uint16_t>(answer->size()),
                                      .bytes = *answer};
          relay_.send({&out, 1});
        }
      }
    }
  }
}

void Generator::on_wan(MutableBytes frame) {
  if (frame.size() > kVnetHeaderSize + kEthernet &&
      is_ping_answer(frame.subspan(kVnetHeaderSize + kEthernet))) {
    answered_ = Clock::now();
    return;
  }
  const auto seen = read_frame(frame);
  if (!seen) return;
  for (auto rest = seen->payload; !rest.empty();) {
    const auto one = rest.first(std::min(rest.size(), seen->segment));
    rest = rest.subspan(one.size());
    if (site_.kind == Kind::plain) {
      on_arrived(one, at_clients_);
      continue;
    }
    const bool is_data = one.size() > wireguard::kDataOverhead &&
                         wireguard::classify(one) == wireguard::MessageType::data;
    auto* known = is_data ? crowd_.find(load_le32(one.data() + 4) >> 8) : nullptr;
    if (known == nullptr) {
      crowd_.on_datagram(one, seen->from, number_of(seen->to));
      continue;
    }
    const auto inner = known->client->open(one, crowd_.now());
    if (!known->client->has_session()) crowd_.serve(*known);  // it may be its first
    if (is_ping_answer(inner))
      answered_ = Clock::now();
    else
      on_arrived(inner.size() > kIpUdp ? inner.subspan(kIpUdp) : inner, at_clients_);
  }
}

void Generator::on_lan(MutableBytes frame) {
  const auto seen = read_frame(frame);
  if (!seen) return;
  for (auto rest = seen->payload; !rest.empty();) {
    const auto one = rest.first(std::min(rest.size(), seen->segment));
    rest = rest.subspan(one.size());
    on_arrived(one, at_resource_);
    if (const auto content = Content::read(one); content && content->flow < flows_.size())
      flows_[content->flow].seen = seen->from;
  }
}

void Generator::on_arrived(Bytes payload, Samples& samples) {
  const auto content = Content::read(payload);
  ++(content && content->flow < flows_.size() ? samples.good : samples.bad);
}

// ---- loads ----

Json Generator::prepare(const Load& load) {
  load_ = load;
  if (load.clients == 0 || load.flows == 0 || load.run == 0 || load.sizes.empty() ||
      std::size_t{load.clients} * load.flows > kFlows) {
    throw std::runtime_error("nothing to send, or more flows than ports");
  }
  chosen_.assign(load.clients, nullptr);
  flows_.assign(std::size_t{load.clients} * load.flows, {});
  for (std::uint32_t i = 0; i < load.clients; ++i) {
    auto* member = crowd_.find(i + 1);
    if (site_.kind != Kind::plain) {
      if (member == nullptr || !member->client->has_session() || !member->client->remote())
        throw std::runtime_error("a client has no session");
      chosen_[i] = member->client.get();
    }
    for (std::uint32_t f = 0; f < load.flows; ++f) {
      const auto port = kFirstInside + i * load.flows + f;
      flow_at(i, f).inside = {swarm::tunnel_of(i + 1), static_cast<std::uint16_t>(port)};
    }
  }
  up_ = {};
  down_ = {};
  wan_.watch().set_sample_mask(load.sample_mask);
  open_flows();
  lan_.watch().set_sample_mask(load.sample_mask);
  up_ = {};
  up_.rate = load.up;
  down_.rate = load.down;
  seal_ahead();
  return {{"flows", flows_.size()}, {"ahead", ahead_sizes_.size()}};
}

// One datagram each way's flow, until the resource has seen all of them: whoever translates has
// then a place for the flow, and we know under which address answers reach it.
void Generator::open_flows() {
  constexpr int kAttempts = 20;
  lan_.watch().set_sample_mask(0);
  const auto failed = crowd_.failed();
  const auto is_open = [](const Flow& flow) { return flow.seen.has_value(); };
  const auto all = load_;
  load_.sizes = {64};
  load_.run = 1;
  for (int attempt = 0; attempt < kAttempts && !std::ranges::all_of(flows_, is_open); ++attempt) {
    up_.sequence = 0;
    for (std::size_t i = 0; i < flows_.size(); ++i) {
      const auto [client, flow, size, content] = next_of(up_);
      if (flow_at(client, flow).seen) continue;
      --up_.sequence;
      const Bytes one{frames_.data(), make_up(frames_.data())};
      if (!one.empty()) (void)wan_.send({&one, 1});
      if (i % kOpenedAtOnce != kOpenedAtOnce - 1) continue;
      wait_until(Clock::now() + std::chrono::milliseconds{2});
      check_none_failed(failed);
    }
    wait_until(Clock::now() + std::chrono::milliseconds{20});
    check_none_failed(failed);
  }
  drain();  // whoever was asked twice
  load_ = all;
  if (!std::ranges::all_of(flows_, is_open)) give_up_unopened();
}

void Generator::check_none_failed(std::uint64_t before) const {
  if (crowd_.failed() != before) throw std::runtime_error("lost: a client's connection");
}

void Generator::give_up_unopened() {
  std::size_t closed = 0;
  for (std::uint32_t i = 0; i < load_.clients; ++i) {
    const auto flows = std::span{flows_}.subspan(std::size_t{i} * load_.flows, load_.flows);
    const auto missing =
        std::ranges::count_if(flows, [](const Flow& flow) { return !flow.seen.has_value(); });
    closed += static_cast<std::size_t>(missing);
    if (missing == 0 || chosen_[i] == nullptr || chosen_[i]->is_plain()) continue;
    chosen_[i]->give_up();
    crowd_.serve(*crowd_.find(i + 1));
  }
  throw std::runtime_error("lost: " + std::to_string(closed) + " of " +
                           std::to_string(flows_.size()) + " flows do not get through");
}

Json Generator::acknowledge() {
  std::uint32_t said = 0;
  for (std::uint32_t number = 1; number <= load_.clients; ++number) {
    auto* member = crowd_.find(number);
    if (member == nullptr) continue;
    member->client->send_keepalive(crowd_.now(), runtime::wall_now());
    crowd_.drain(*member);
    if (++said % kOpenedAtOnce == 0) wait_until(Clock::now() + std::chrono::milliseconds{2});
  }
  return {{"said", said}};
}

void Generator::seal_ahead() {
  ahead_sizes_.clear();
  next_ahead_ = 0;
  const auto wanted =
      std::min<std::uint64_t>(load_.ahead, static_cast<std::uint64_t>(load_.up * load_.seconds));
  const auto largest = *std::ranges::max_element(load_.sizes);
  ahead_stride_ = (kHeaders + kIpUdp + wireguard::kDataOverhead + largest + 63) / 64 * 64;
  if (ahead_.size() < wanted * ahead_stride_) ahead_.resize(wanted * ahead_stride_);
  for (std::uint64_t i = 0; i < wanted; ++i) {
    const auto size = make_up(ahead_.data() + i * ahead_stride_);
    ahead_sizes_.push_back(size);
    if (i % 16'384 == 0) turn();
  }
}

Generator::Next Generator::next_of(Way& way) const {
  const auto number = way.sequence++;
  const auto turn = number / load_.run;
  const auto client = turn % load_.clients;
  const auto flow = turn / load_.clients % load_.flows;
  return {client,
          flow,
          load_.sizes[number % load_.sizes.size()],
          {number, client * load_.flows + flow}};
}

std::size_t Generator::make_up(std::uint8_t* frame) {
  const auto [client, flow, bytes, content] = next_of(up_);
  const std::size_t size = bytes;
  const auto inside = load_.is_spoofed && flow_at(client, flow).seen
                          ? SocketAddress{swarm::tunnel_of(kNobody), kFirstInside}
                          : flow_at(client, flow).inside;
  if (site_.kind == Kind::plain) {
    content.write({frame + kHeaders, size});
    return write_headers(frame, wan_.ends(), inside, site_.resource, size);
  }
  auto* message = frame + kHeaders;
  auto* inner = message + wireguard::kDataHeaderSize;
  content.write({inner + kIpUdp, size});
  write_inner(inner, inside, site_.resource, size, Content::kSum);
  const auto& sender = *chosen_[client];
  if (!chosen_[client]->seal(message, kIpUdp + size, crowd_.now())) return 0;
  return write_headers(frame, wan_.ends(), sender.place().address, *sender.remote(),
                       kIpUdp + size + wireguard::kDataOverhead);
}

std::size_t Generator::make_down(std::uint8_t* frame) {
  const auto [client, flow, bytes, content] = next_of(down_);
  const std::size_t size = bytes;
  content.write({frame + kHeaders, size});
  return write_headers(frame, lan_.ends(), site_.resource, *flow_at(client, flow).seen, size);
}

bool Generator::send_due(Way& way, double elapsed_s, bool is_up) {
  constexpr std::uint64_t kBehindMax = 8 * kBurstMax;  // what is later than that is not made up for
  const auto wanted = static_cast<std::uint64_t>(elapsed_s * way.rate);
  auto due = wanted - std::min(wanted, way.made + way.missed);
  if (due > kBehindMax) {
    way.missed += due - kBehindMax;
    due = kBehindMax;
  }
  const auto burst = std::min<std::uint64_t>(due, kBurstMax);
  for (std::uint64_t done = 0; done < burst;) {
    std::array<Bytes, Link::kBatch> frames;
    std::size_t n = 0;
    for (; n < frames.size() && done < burst; ++done, ++way.made) {
      const bool is_ready = is_up && next_ahead_ < ahead_sizes_.size();
      auto* frame = is_ready ? ahead_.data() + next_ahead_ * ahead_stride_
                             : frames_.data() + n * kFrameStride;
      const auto size = is_ready ? ahead_sizes_[next_ahead_++]
                        : is_up  ? make_up(frame)
                                 : make_down(frame);
      if (size == 0)
        ++way.unsealed;
      else
        frames[n++] = {frame, size};
    }
    way.sent += n;
    way.overflowed += n - (is_up ? wan_ : lan_).send(std::span{frames}.first(n));
  }
  return due > burst;
}

Json Generator::run() {
  constexpr auto kUpkeep = std::chrono::milliseconds{1};
  at_resource_ = at_clients_ = {};
  up_.before = lan_.watch().count();
  down_.before = wan_.watch().count();
  const auto failed = crowd_.failed();
  const auto began = Clock::now();
  const auto end = began + seconds(load_.seconds);
  const auto tick = std::chrono::microseconds{load_.tick_us};
  auto next = began;
  auto kept_up = began;
  for (auto now = began; now < end; now = Clock::now()) {
    const auto elapsed = std::chrono::duration<double>(now - began).count();
    const bool more_up = send_due(up_, elapsed, true);
    const bool more_down = send_due(down_, elapsed, false);
    next = std::max(next + tick, now);
    if (!more_up && !more_down)
      wait_until(std::min(next, end));
    else if (now - kept_up > kUpkeep)
      turn();
    else
      continue;
    kept_up = now;
    check_none_failed(failed);
  }
  const auto took = seconds_since(began);
  drain();
  for (std::uint32_t number = 1; number <= load_.clients; ++number) {
    if (auto* member = crowd_.find(number)) crowd_.serve(*member);
  }
  return {{"seconds", took},
          {"up", told(up_, lan_.watch().count(), at_resource_)},
          {"down", told(down_, wan_.watch().count(), at_clients_)}};
}

// Until nothing has arrived for a while: what is late belongs to this load and not to the next.
void Generator::drain() {
  for (int i = 0; i < kDrainsMax; ++i) {
    const auto before = lan_.watch().count().datagrams + wan_.watch().count().datagrams;
    wait_until(Clock::now() + seconds(kDrain));
    if (lan_.watch().count().datagrams + wan_.watch().count().datagrams == before) return;
  }
}

Json Generator::told(const Way& way, const Watch::Count& after, const Samples& samples) {
  return {{"offered", way.made},
          {"sent", way.sent},
          {"missed", way.missed},
          {"overflowed", way.overflowed},
          {"unsealed", way.unsealed},
          {"arrived", after.datagrams - way.before.datagrams},
          {"bytes", after.bytes - way.before.bytes},
          {"sampled", samples.good},
          {"wrong", samples.bad}};
}

Json Generator::ping(std::uint32_t count, double interval_s) {
  constexpr auto kGiveUp = std::chrono::milliseconds{500};
  std::vector<double> micros;
  wan_.watch().set_sample_mask(0);
  auto* member = crowd_.find(1);
  if (site_.kind != Kind::plain && member == nullptr) throw std::runtime_error("no client");
  for (std::uint32_t i = 0; i < count; ++i) {
    const ByteVector inner = test::echo(kPingId)
                                 .from(swarm::tunnel_of(1))
                                 .to(site_.resource.ip)
                                 .sequence(i)
                                 .payload_size(kPingPayload)
                                 .build();
    std::array<std::uint8_t, kFrameMax> frame{};
    std::size_t length = kVnetHeaderSize + kEthernet + inner.size();
    if (site_.kind == Kind::plain) {
      (void)write_headers(frame.data(), wan_.ends(), {swarm::tunnel_of(1), 0}, site_.resource, 0);
      frame[0] = 0;  // its checksum is there
      std::ranges::copy(inner, frame.begin() + kVnetHeaderSize + kEthernet);
    } else {
      auto& by = *member->client;
      std::ranges::copy(inner, frame.begin() + kHeaders + wireguard::kDataHeaderSize);
      if (!by.remote() || !by.seal(frame.data() + kHeaders, inner.size(), crowd_.now()))
        throw std::runtime_error("the client has no session");
      length = write_headers(frame.data(), wan_.ends(), by.place().address, *by.remote(),
                             inner.size() + wireguard::kDataOverhead);
    }
    answered_.reset();
    const Bytes one{frame.data(), length};
    const auto sent = Clock::now();
    (void)wan_.send({&one, 1});
    while (!answered_ && Clock::now() - sent < kGiveUp) {
      pollfd waiting{wan_.fd(), POLLIN, 0};
      (void)::poll(&waiting, 1, 10);
      wan_.receive([this](MutableBytes received) { on_wan(received); });
    }
    if (answered_)
      micros.push_back(std::chrono::duration<double, std::micro>(*answered_ - sent).count());
    wait_until(sent + seconds(interval_s));
  }
  wan_.watch().set_sample_mask(255);
  std::ranges::sort(micros);
  const auto at = [&](double part) {
    return micros.empty()
               ? 0.0
               : micros[static_cast<std::size_t>(part * static_cast<double>(micros.size() - 1))];
  };
  return {
      {"pings", count}, {"answered", micros.size()}, {"median_us", at(0.5)}, {"p99_us", at(0.99)}};
}

void Generator::wait_until(Clock::time_point until) {
  std::vector<pollfd> waiting;
  for (const int fd : fds()) waiting.push_back({fd, POLLIN, 0});
  turn();
  for (auto left = until - Clock::now(); left > Clock::duration{}; left = until - Clock::now()) {
    // The portal's connections are looked at every two milliseconds at least.
    const auto nanoseconds = std::min<std::int64_t>(
        std::chrono::duration_cast<std::chrono::nanoseconds>(left).count(), 2'000'000);
    const timespec time{0, static_cast<long>(nanoseconds)};
    (void)::ppoll(waiting.data(), waiting.size(), &time, nullptr);
    turn();
  }
}

}  // namespace fg::load
