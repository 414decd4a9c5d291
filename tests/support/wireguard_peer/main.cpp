// Our Tunnel on a UDP socket, for talks with other WireGuard implementations
// (tests/net/test_wireguard_go.py). It answers pings to its tunnel address, sends its own, and
// prints one line per thing that happened.
//
//   firegate-wireguard-peer listen=51820 peer=192.0.2.2:51820 key=FILE remote=BASE64 psk=FILE
//   address=10.9.0.1
//       [ping=10.9.0.2] [every_ms=100] [handshake_every_ms=0] [passive=1] [size=56]
#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <map>
#include <string>

#include "base/encoding.h"
#include "crypto/aead.h"
#include "crypto/random.h"
#include "tests/support/packets.h"
#include "wireguard/tunnel.h"

namespace {

using namespace fg;
using namespace fg::wireguard;

volatile std::sig_atomic_t g_stop = 0;

std::int64_t read_clock(clockid_t id) {
  timespec t{};
  clock_gettime(id, &t);
  return std::int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}
Instant now() { return Instant{Duration{read_clock(CLOCK_BOOTTIME)}}; }
WallTime wall() { return WallTime{Duration{read_clock(CLOCK_REALTIME)}}; }

[[noreturn]] void die(const std::string& why) {
  std::fprintf(stderr, "%s\n", why.c_str());
  std::exit(2);
}
std::array<std::uint8_t, 32> key_of(const std::string& text) {
  const auto bytes = decode_base64(text);
  if (!bytes || bytes->size() != 32) die("not a key");
  std::array<std::uint8_t, 32> out;
  std::copy_n(bytes->begin(), 32, out.begin());
  return out;
}
std::array<std::uint8_t, 32> key_in(const std::string& path) {
  std::ifstream in(path);
  std::string text;
  if (!(in >> text)) die("cannot read " + path);
  return key_of(text);
}

using Options = std::map<std::string, std::string>;
Options parse(int argc, char** argv) {
  Options out = {{"every_ms", "100"},
                 {"handshake_every_ms", "0"},
                 {"passive", "0"},
                 {"size", "56"},
                 {"ping", ""}};
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const auto equals = word.find('=');
    if (equals == std::string::npos) die("not name=value: " + word);
    out[word.substr(0, equals)] = word.substr(equals + 1);
  }
  for (const char* name : {"listen", "peer", "key", "remote", "psk", "address"}) {
    if (!out.contains(name)) die(std::string("missing ") + name);
  }
  return out;
}

class Peer {
 public:
  explicit Peer(Options options)
      : options_(std::move(options)),
        address_(*IpAddress::parse(options_["address"])),
        peer_(*SocketAddress::parse(options_["peer"])),
        identity_([this] {
          crypto::KeyPair pair{.private_key = crypto::PrivateKey{key_in(options_["key"])},
                               .public_key = {}};
          pair.public_key = crypto::public_from_private(pair.private_key);
          return pair;
        }()),
        engine_(crypto::choose_aead(now).choice),
        tunnel_(identity_, config(), engine_, random_, now()),
        next_ping_(now()),
        next_handshake_(now() + milliseconds("handshake_every_ms")) {
    socket_ = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const sockaddr_in local{
        .sin_family = AF_INET,
        .sin_port = htons(static_cast<std::uint16_t>(std::stoi(options_["listen"]))),
        .sin_addr = {},
        .sin_zero = {}};
    if (::bind(socket_, reinterpret_cast<const sockaddr*>(&local), sizeof local) != 0)
      die("bind failed");
    std::puts("ready");
  }
  ~Peer() { ::close(socket_); }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  void run() {
    while (g_stop == 0) {
      const Instant t = now();
      tunnel_.on_timeout(t, wall());
      if (!options_["ping"].empty() && t >= next_ping_) {
        next_ping_ = t + milliseconds("every_ms");
        ping(t);
      }
      if (milliseconds("handshake_every_ms") > 0s && t >= next_handshake_) {
        next_handshake_ = t + milliseconds("handshake_every_ms");
        tunnel_.initiate(t, wall());
      }
      drain(t);
      wait(t);
    }
    const auto& c = tunnel_.counters();
    std::printf("end sent=%u pongs=%u answered=%u sessions=%lu bad=%lu\n", sent_, pongs_, answered_,
                c.sessions,
                c.bad_handshakes + c.bad_mac1 + c.bad_tag + c.replayed + c.unknown_receiver +
                    c.malformed + c.expired);
  }

 private:
  Duration milliseconds(const std::string& name) {
    return std::chrono::milliseconds(std::stoi(options_[name]));
  }
  TunnelConfig config() {
    TunnelConfig out;
    out.handshake.remote = key_of(options_["remote"]);
    out.handshake.preshared = Secret<32>{key_in(options_["psk"])};
    out.handshake.index_base = ReceiverIndex{random_.u32() << 8};
    out.initiate_on_data = options_["passive"] == "0";
    return out;
  }

  void ping(Instant t) {
    const ByteVector packet =
        test::echo(0x4647)
            .from(address_)
            .to(options_["ping"])
            .sequence(sent_)
            .payload_size(static_cast<std::size_t>(std::stoi(options_["size"])))
            .build();
    ++sent_;
    tunnel_.encapsulate(packet, t, wall());
  }

  void on_inner(ByteVector packet, Instant t) {
    if (packet.size() < 28 || packet[9] != 1) return;
    if (packet[20] == 0) {
      std::printf("pong %u\n", ++pongs_);
    } else if (packet[20] == 8 && equal(Bytes{packet}.subspan(16, 4), address_.bytes())) {
      std::swap_ranges(packet.begin() + 12, packet.begin() + 16, packet.begin() + 16);
      packet[20] = 0;
      store_be16(packet.data() + 22, 0);
      store_be16(packet.data() + 22, test::naive_checksum(Bytes{packet}.subspan(20)));
      ++answered_;
      tunnel_.encapsulate(packet, t, wall());
    }
  }

  void drain(Instant t) {
    while (auto inner = tunnel_.poll_inner()) on_inner(std::move(*inner), t);
    while (auto event = tunnel_.poll_event()) {
      static constexpr const char* kNames[] = {"established", "unanswered", "expired"};
      std::puts(kNames[static_cast<std::size_t>(*event)]);
    }
    while (auto datagram = tunnel_.poll_datagram()) {
      sockaddr_in to{
          .sin_family = AF_INET, .sin_port = htons(peer_.port), .sin_addr = {}, .sin_zero = {}};
      std::memcpy(&to.sin_addr, peer_.ip.bytes().data(), 4);
      (void)::sendto(socket_, datagram->data(), datagram->size(), 0,
                     reinterpret_cast<const sockaddr*>(&to), sizeof to);
    }
    std::fflush(stdout);
  }

  void wait(Instant t) {
    Instant until = t + 1s;
    if (const auto wakeup = tunnel_.wakeup()) until = std::min(until, wakeup->at);
    if (!options_["ping"].empty()) until = std::min(until, next_ping_);
    if (milliseconds("handshake_every_ms") > 0s) until = std::min(until, next_handshake_);
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - t).count();
    pollfd p{.fd = socket_, .events = POLLIN, .revents = 0};
    if (::poll(&p, 1, static_cast<int>(std::max<std::int64_t>(left, 0))) <= 0) return;
    std::array<std::uint8_t, 2048> buffer;
    const ssize_t n = ::recv(socket_, buffer.data(), buffer.size(), 0);
    if (n > 0) {
      tunnel_.on_datagram(Bytes{buffer}.first(static_cast<std::size_t>(n)), peer_.ip, now());
      drain(now());
    }
  }

  Options options_;
  IpAddress address_;
  SocketAddress peer_;
  crypto::SystemRandom random_;
  Identity identity_;
  crypto::AeadEngine engine_;
  Tunnel tunnel_;
  Instant next_ping_, next_handshake_;
  int socket_ = -1;
  unsigned sent_ = 0, pongs_ = 0, answered_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  struct sigaction action{};
  action.sa_handler = [](int) { g_stop = 1; };
  ::sigaction(SIGTERM, &action, nullptr);
  ::sigaction(SIGINT, &action, nullptr);
  Peer(parse(argc, argv)).run();
}
