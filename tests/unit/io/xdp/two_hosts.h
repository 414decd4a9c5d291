// Two hosts joined by a pair of Ethernet devices: the test runs on the one with `wan`, and opens
// sockets on the other, which has `far`. Tunnel packets go between them, in a VLAN where `vlan_`
// says so. Needs root.
#pragma once

#include <fcntl.h>

#include "io/kernel/udp_sender.h"
#include "io/xdp/link.h"
#include "io/xdp/xdp_backend.h"
#include "tests/unit/io/xdp/veth.h"

namespace fg::io::xdp {

inline constexpr const char* kHere4 = "10.1.0.1";
inline constexpr const char* kThere4 = "10.1.0.2";
inline constexpr const char* kHere6 = "fd10::1";
inline constexpr const char* kThere6 = "fd10::2";
inline constexpr std::uint16_t kTunnelPort = 52625;

// Numbered, as large as said, and WireGuard data by its header.
inline ByteVector data_message(std::size_t size, unsigned number = 0) {
  ByteVector out(std::max<std::size_t>(size, 32), static_cast<std::uint8_t>(number));
  store_be32(out.data(), 0x04000000);
  store_be32(out.data() + 4, number);
  return out;
}

class TwoHosts : public VethTest {
 protected:
  void SetUp() override {
    VethTest::SetUp();
    here_ = this_network();
    ASSERT_EQ(::unshare(CLONE_NEWNET), 0);
    ASSERT_TRUE(kernel::set_up("lo"));
    there_ = this_network();
    enter(here_);
    move_far();
  }
  // After the pair was made again, too.
  void move_far() {
    const auto path = "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(there_.get());
    output_of("ip link set far netns " + path);
    configure_here();
    const auto far = name_of("far");
    over_there([&] { configure(far, kThere, kHere); });
    // Until its carrier is noticed a device swallows what is sent.
    wait_up("wan");
    wait_local(name_of("wan"), kHere6);
    over_there([&] {
      wait_up("far");
      wait_local(far, kThere6);
    });
  }
  void configure_here() { configure(name_of("wan"), kHere, kThere); }
  // Which has the addresses.
  [[nodiscard]] std::string name_of(const std::string& device) const {
    return vlan_ ? device + "." + std::to_string(vlan_->id) : device;
  }
  template <class Function>
  void over_there(Function&& function) {
    enter(there_);
    function();
    enter(here_);
  }
  kernel::UdpSocket socket_there(Family family) {
    std::optional<kernel::UdpSocket> out;
    over_there([&] { out = kernel::open_or_die(family); });
    return std::move(*out);
  }
  struct Host {
    const char* v4;
    const char* v6;
    const char* mac;
  };
  static constexpr Host kHere{kHere4, kHere6, "02:00:00:00:00:01"};
  static constexpr Host kThere{kThere4, kThere6, "02:00:00:00:00:02"};
  // The other one's address is known: nothing waits for its answer.
  void configure(const std::string& device, const Host& own, const Host& other) const {
    const auto dev = " dev " + device;
    if (vlan_) {
      const auto parent = device.substr(0, device.find('.'));
      output_of("ip link set dev " + parent + " address " + own.mac + " up && ip link add link " +
                parent + " name " + device + " type vlan id " + std::to_string(vlan_->id));
    }
    output_of("echo 0 >/proc/sys/net/ipv6/conf/" + device + "/disable_ipv6 && ip link set" + dev +
              " address " + own.mac + " up && ip addr replace " + own.v4 + "/24" + dev +
              " && ip addr replace " + own.v6 + "/64" + dev + " nodad");
    for (const auto* address : {other.v4, other.v6}) {
      output_of("ip neigh replace " + std::string(address) + " lladdr " + other.mac + dev +
                " nud permanent");
    }
  }
  static void wait_up(const std::string& device) {
    while (output_of("ip link show dev " + device).find("state UP") == std::string::npos) {
    }
  }

  // The kernel takes in what is for an IPv6 address a moment after the carrier is noticed.
  static void wait_local(const std::string& device, const std::string& address) {
    while (output_of("ip -6 route show table local dev " + device).find(address) ==
           std::string::npos) {
    }
  }
  // From here to the other host.
  [[nodiscard]] NextHop hop_there(Family family) const {
    return {.interface = ::if_nametoindex("wan"),
            .source = test_ip(family == Family::v4 ? kHere4 : kHere6),
            .source_mac = {2, 0, 0, 0, 0, 1},
            .destination_mac = {2, 0, 0, 0, 0, 2},
            .vlan = vlan_,
            .mtu = 1500};
  }

  // As on a real wire. In generic mode an unfinished checksum may stand for a run of datagrams,
  // which the program leaves to the kernel.
  void finish_checksums() {
    over_there([] { output_of("ethtool -K far tx off"); });
  }

  void open(unsigned workers = 1, SendMode sends = SendMode::off) {
    auto opened = open_xdp_backend({.workers = workers, .tun_name = "tun-test"}, sends);
    ASSERT_TRUE(opened) << opened.error().to_string();
    backend_ = std::move(*opened);
  }
  static LinkOptions options() {
    return {.program = {.interface = "wan", .only = AttachMode::native, .frame_max = kFrameMax},
            .port_v4 = kTunnelPort,
            .port_v6 = kTunnelPort};
  }
  // The queue of a socket that was closed a moment ago is free a little later.
  Result<std::unique_ptr<Link>, AttachError> try_attach(const LinkOptions& options) {
    for (int i = 0;; ++i) {
      auto link = Link::attach(options, backend_.ports);
      if (link || link.error().reason != AttachError::Reason::queue_taken || i == 100) return link;
      (void)receive(port(), 20);
    }
  }
  std::unique_ptr<Link> attach(const LinkOptions& options) {
    auto link = try_attach(options);
    if (!link) {
      ADD_FAILURE() << link.error().to_string();
      return nullptr;
    }
    const std::array ours{test_ip(kHere4), test_ip(kHere6)};
    EXPECT_FALSE((*link)->program()->set_addresses(ours));
    EXPECT_EQ((*link)->is_zero_copy(), has_zero_copy() && (*link)->mode() == AttachMode::native);
    return std::move(*link);
  }
  static IpAddress test_ip(const char* text) { return IpAddress::parse(text).value(); }

  XdpPort& port(std::size_t worker = 0) { return *backend_.ports.at(worker); }
  // What a worker does: waits, receives what is ready.
  static std::span<ReceivedDatagrams> receive(Port& from, int milliseconds = 2000) {
    const auto fds = from.wait_fds();
    std::array<pollfd, 8> polled{};
    for (std::size_t i = 0; i < fds.size(); ++i) polled[i] = {fds[i], POLLIN, 0};
    ReadySet ready = 0;
    if (::poll(polled.data(), fds.size(), milliseconds) <= 0) return {};
    for (std::size_t i = 0; i < fds.size(); ++i) {
      if ((polled[i].revents & POLLIN) != 0) ready |= ReadySet{1} << i;
    }
    return from.receive(ready);
  }
  // As the control thread does; how many there were.
  unsigned answer_questions(std::uint16_t mtu = 1500) {
    unsigned n = 0;
    while (const auto question = port().next_hops().next_question()) {
      auto hop = hop_there(question->destination.to.family());
      hop.mtu = mtu;
      EXPECT_TRUE(port().next_hops().answer({question->destination, question->epoch, hop}));
      ++n;
    }
    return n;
  }
  // Until so many datagrams came; what came, one by one.
  std::vector<kernel::Arrived> collect_here(std::size_t wanted, std::size_t worker = 0) {
    return collect_from(port(worker), wanted);
  }
  static std::vector<kernel::Arrived> collect_from(Port& from, std::size_t wanted) {
    std::vector<kernel::Arrived> out;
    for (int idle = 0; out.size() < wanted && idle < 5;) {
      const auto batch = receive(from, 400);
      if (batch.empty()) ++idle;
      for (const auto& d : batch) {
        for (std::size_t at = 0; at < d.bytes.size(); at += d.segment)
          out.push_back(
              {copy_of(d.bytes.subspan(at, std::min<std::size_t>(d.segment, d.bytes.size() - at))),
               d.from, d.local, d.ecn, d.count()});
      }
    }
    return out;
  }
  // From the other host to the tunnel's port here.
  static void send_data(kernel::UdpSocket& socket, const ByteVector& bytes, std::uint8_t ecn = 0) {
    const OutgoingDatagrams d{
        .to = {test_ip(socket.family() == Family::v4 ? kHere4 : kHere6), kTunnelPort},
        .from = {},
        .ecn = ecn,
        .segment = static_cast<std::uint16_t>(bytes.size()),
        .bytes = bytes};
    ASSERT_EQ((kernel::UdpSender{socket.fd(), false}.send({&d, 1}).datagrams), 1U);
  }

  XdpBackend backend_;
  std::optional<VlanTag> vlan_;

 private:
  static kernel::FileDescriptor this_network() {
    return kernel::FileDescriptor{::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)};
  }
  static void enter(const kernel::FileDescriptor& network) {
    ASSERT_EQ(::setns(network.get(), CLONE_NEWNET), 0);
  }

  kernel::FileDescriptor here_;
  kernel::FileDescriptor there_;
};

}  // namespace fg::io::xdp
