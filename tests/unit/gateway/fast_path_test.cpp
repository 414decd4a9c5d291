// What becomes of a gateway's interfaces, on a real pair of devices; the clock is the test's.
#include "gateway/fast_path.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <gmock/gmock.h>

#include <functional>
#include <thread>

#include "tests/unit/gateway/lines.h"
#include "tests/unit/io/xdp/two_hosts.h"

namespace fg::gateway {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

using io::kernel::wait_readable;
using io::xdp::kThere4;
using io::xdp::kThere6;
using test::output_of;

using Kind = HostChange::Kind;

class FastPathTest : public io::xdp::TwoHosts {
 protected:
  void SetUp() override {
    TwoHosts::SetUp();
    route_by("wan");
  }
  static void route_by(const std::string& device) {
    output_of("ip route replace default dev " + device);
  }

  static FastPathOptions choosing(BackendChoice backend, std::vector<std::string> interfaces = {}) {
    FastPathOptions out;
    out.backend = backend;
    out.interfaces = std::move(interfaces);
    return out;
  }
  // The error; empty: it runs.
  std::string start(const FastPathOptions& options, unsigned workers = 1) {
    stop();
    fast_path_.emplace(options, Log{lines_, "backend"});
    auto opened = fast_path_->open({.workers = workers, .tun_name = "tun-test"});
    if (!opened) {
      ADD_FAILURE() << opened.error().to_string();
      return "not open";
    }
    kernel_ = std::move(*opened);
    auto started = fast_path_->start(now_);
    return started ? "" : started.error();
  }
  std::string start_xdp(std::vector<std::string> interfaces = {}) {
    return start(choosing(BackendChoice::xdp, std::move(interfaces)));
  }
  void stop() {
    fast_path_.reset();
    kernel_ = {};
  }
  void TearDown() override {
    stop();
    TwoHosts::TearDown();
  }

  // So much time passes, as the control thread and the workers spend it.
  void pass(Duration time) {
    const auto until = now_ + time;
    while (now_ < until) {
      now_ = std::clamp(fast_path_->wakeup(), now_ + 1ms, until);
      fast_path_->on_turn(now_, "");
      for (const auto& port : kernel_.backend.ports) (void)receive(*port, 0);
    }
  }
  void change(Kind kind, const std::string& command, int prefix = 0) {
    output_of(command);
    fast_path_->on_change({.kind = kind, .prefix = prefix}, now_);
  }
  // Turns, in time of the test's, until it holds; what the kernel is slow with happens meanwhile.
  bool until(const std::function<bool()>& holds, Duration limit = 3s) {
    const auto end = now_ + limit;
    while (!holds() && now_ < end) {
      pass(50ms);
      (void)::poll(nullptr, 0, 5);
    }
    return holds();
  }
  [[nodiscard]] bool is_by_xdp() const { return fast_path_->report().name == "xdp"; }
  [[nodiscard]] std::string detail() const { return fast_path_->report().detail; }
  std::vector<std::string> take_lines() { return std::exchange(lines_.all, {}); }
  std::string last_line() { return lines_.all.empty() ? "" : lines_.all.back(); }

  std::uint64_t verdicts(std::string_view name) const {
    for (const auto& [of, n] : fast_path_->report().verdicts) {
      if (of == name) return n;
    }
    return 0;
  }
  // Datagrams from the other host, each read before the next; how many came by AF_XDP.
  std::uint64_t by_xdp_of(const ByteVector& datagram, Family family = Family::v4, int count = 4) {
    auto client = socket_there(family);
    return by_xdp_of(datagram, client, count);
  }
  std::uint64_t by_xdp_of(const ByteVector& datagram, io::kernel::UdpSocket& client, int count) {
    auto& port = *kernel_.backend.ports.at(0);
    const auto before = port.counters().data_by_xdp.load();
    for (int i = 0; i < count; ++i) {
      send_data(client, datagram);
      (void)receive(port, 200);
    }
    return port.counters().data_by_xdp.load() - before;
  }

  static std::uint32_t program_on(const std::string& device) {
    LIBBPF_OPTS(bpf_xdp_query_opts, query);
    if (::bpf_xdp_query(static_cast<int>(::if_nametoindex(device.c_str())), 0, &query) != 0)
      return 0;
    return query.prog_id != 0 ? query.prog_id : query.drv_prog_id | query.skb_prog_id;
  }
  static void detach_program_of(const std::string& device) {
    const auto program = program_on(device);
    for (std::uint32_t id = 0; ::bpf_link_get_next_id(id, &id) == 0;) {
      const io::kernel::FileDescriptor link{::bpf_link_get_fd_by_id(id)};
      bpf_link_info info{};
      std::uint32_t size = sizeof info;
      if (::bpf_obj_get_info_by_fd(link.get(), &info, &size) == 0 && info.prog_id == program) {
        EXPECT_EQ(::bpf_link_detach(link.get()), 0);
      }
    }
  }
  // What it redirects goes to a socket of another device, which refuses it: to be seen nowhere.
  void lose_frames_of(const std::string& device) {
    if (!stranger_) {
      output_of("ip link add b0 type veth peer name b1 && ip link set b0 up && ip link set b1 up");
      auto opened = io::xdp::QueueSocket::open({.interface = "b0"});
      ASSERT_TRUE(opened);
      stranger_ = std::move(*opened);
    }
    const io::kernel::FileDescriptor program{::bpf_prog_get_fd_by_id(program_on(device))};
    std::array<std::uint32_t, 16> maps{};
    bpf_prog_info info{};
    info.nr_map_ids = maps.size();
    info.map_ids = reinterpret_cast<std::uintptr_t>(maps.data());
    std::uint32_t size = sizeof info;
    ASSERT_EQ(::bpf_obj_get_info_by_fd(program.get(), &info, &size), 0);
    bool is_found = false;
    for (std::size_t i = 0; i < info.nr_map_ids; ++i) {
      const io::kernel::FileDescriptor map{::bpf_map_get_fd_by_id(maps[i])};
      bpf_map_info about{};
      size = sizeof about;
      if (::bpf_obj_get_info_by_fd(map.get(), &about, &size) != 0 ||
          about.type != BPF_MAP_TYPE_XSKMAP)
        continue;
      const std::uint32_t queue = 0;
      const int socket = stranger_->fd();
      EXPECT_EQ(::bpf_map_update_elem(map.get(), &queue, &socket, BPF_ANY), 0);
      is_found = true;
    }
    ASSERT_TRUE(is_found);
  }

  Lines lines_;
  io::kernel::KernelBackend kernel_;
  std::optional<FastPath> fast_path_;
  std::unique_ptr<io::xdp::QueueSocket> stranger_;
  Instant now_{1h};
};

const ByteVector kData = io::xdp::data_message(100);

// ---- the choice ----

TEST_F(FastPathTest, DemandedItTakesWhatTheDeviceHasAndSaysWhyNotMore) {
  ASSERT_EQ(start_xdp(), "");
  EXPECT_EQ(last_line(),
            "backend chosen backend=xdp interfaces=wan native, copies, 1 queue "
            "why_not_more=wan's driver has no zero copy");
  EXPECT_THAT(detail(), AllOf(StartsWith("wan native, copies, 1 queue"),
                              HasSubstr("wan's driver has no zero copy")));
  EXPECT_EQ(by_xdp_of(kData), 4U);
  EXPECT_EQ(by_xdp_of(kData, Family::v6), 4U);
  pass(50ms);
  EXPECT_LE(fast_path_->wakeup(), now_ + io::xdp::kDeliveryInterval);
}

TEST_F(FastPathTest, LeftToItselfItTakesNoCopiesAndSaysSo) {
  ASSERT_EQ(start({}), "");
  EXPECT_THAT(last_line(),
              AllOf(StartsWith("backend chosen backend=kernel why_not_xdp=wan's driver"),
                    HasSubstr("nothing attached")));
  EXPECT_EQ(fast_path_->report().name, "kernel");
  EXPECT_THAT(detail(), HasSubstr("nothing attached"));
  EXPECT_EQ(program_on("wan"), 0U);
  EXPECT_EQ(by_xdp_of(kData), 0U);
  EXPECT_EQ(fast_path_->wakeup(), Instant::max()) << "it will not change";
}

TEST_F(FastPathTest, TheKernelsSocketsAskNothingOfTheHost) {
  ASSERT_EQ(start(choosing(BackendChoice::kernel)), "");
  EXPECT_EQ(last_line(), "backend chosen backend=kernel why_not_xdp=--backend kernel");
  EXPECT_EQ(fast_path_->wakeup(), Instant::max());
  change(Kind::link, "true");
  fast_path_->on_relay(RelaySlot{1}, SocketAddress{test_ip(kThere4), 3478}, now_);
  fast_path_->on_turn(now_, "");
  EXPECT_EQ(fast_path_->wakeup(), Instant::max());
}

TEST_F(FastPathTest, WhatCannotBeHadEndsADemandWithItsMend) {
  output_of("ip link add bridge0 type bridge");
  const std::vector<std::pair<std::vector<std::string>, const char*>> cases{
      {{"wan7"}, "backend xdp cannot be had: there is no interface wan7: name one"},
      {{"lo"}, "backend xdp cannot be had: lo is not an Ethernet device"},
      {{"bridge0"}, "backend xdp cannot be had: bridge0 is a bridge"},
      {{"wan7", "lo"},
       "lo is not an Ethernet device: name the interface that the tunnel's packets "
       "come in by; there is no interface wan7"},
  };
  for (const auto& [interfaces, text] : cases) EXPECT_THAT(start_xdp(interfaces), HasSubstr(text));
  output_of("ip route del default");
  EXPECT_EQ(start_xdp(),
            "backend xdp cannot be had: no default route tells the interface: name it, "
            "--xdp-interfaces");
}

TEST_F(FastPathTest, OneOfTwoIsEnoughAndTheOtherIsSaid) {
  ASSERT_EQ(start_xdp({"wan", "wan7"}), "");
  EXPECT_THAT(last_line(),
              AllOf(HasSubstr("interfaces=wan native"), HasSubstr("no interface wan7")));
  EXPECT_THAT(detail(), AllOf(HasSubstr("wan native"), HasSubstr("wan7: there is no interface")));
  take_lines();
  for (int i = 0; i < 3; ++i) {
    fast_path_->on_change({.kind = Kind::link}, now_);
    pass(2s);
  }
  EXPECT_THAT(take_lines(), IsEmpty()) << "it was said";
}

TEST_F(FastPathTest, FewerQueuesThanWorkersAreSaid) {
  ASSERT_EQ(start(choosing(BackendChoice::xdp), 2), "");
  EXPECT_THAT(last_line(), HasSubstr("1 queue for 2 workers"));
}

TEST_F(FastPathTest, AQueueThatIsTakenIsTakenOverWhenItIsFree) {
  auto other = io::xdp::QueueSocket::open({.interface = "wan"});
  ASSERT_TRUE(other);
  EXPECT_THAT(start_xdp(), HasSubstr("another program has an AF_XDP socket on wan: stop it"));
  EXPECT_EQ(program_on("wan"), 0U) << "left attached";
  EXPECT_FALSE(is_by_xdp());
  other->reset();
  EXPECT_TRUE(until([&] { return is_by_xdp(); }, 5s)) << detail();
}

TEST_F(FastPathTest, WhyItIsGenericModeIsSaidBesideWhatElseIsMissing) {
  over_there([] { output_of("ethtool -L far tx 2"); });
  ASSERT_EQ(start(choosing(BackendChoice::xdp), 2), "");
  for (const auto& said : {last_line(), detail()}) {
    EXPECT_THAT(said, AllOf(HasSubstr("wan generic, copies, 1 queue"),
                            HasSubstr("give it as many receive queues as its peer sends on"),
                            HasSubstr("1 queue for 2 workers")));
  }
}

// As when a gateway is started again.
TEST_F(FastPathTest, AQueueThatIsFreeAMomentLaterIsWaitedForAtTheStart) {
  auto other = io::xdp::QueueSocket::open({.interface = "wan"});
  ASSERT_TRUE(other);
  std::thread ends{[&] {
    (void)::poll(nullptr, 0, 100);
    other->reset();
  }};
  EXPECT_EQ(start_xdp(), "");
  ends.join();
  EXPECT_TRUE(is_by_xdp());
  EXPECT_EQ(by_xdp_of(kData), 4U);
}

// ---- what becomes of it ----

TEST_F(FastPathTest, WhatLostItsProgramGetsItBackAfterPausesThatGrow) {
  ASSERT_EQ(start_xdp(), "");
  take_lines();
  for (const auto pause : {1s, 2s, 4s}) {
    detach_program_of("wan");
    pass(500ms);
    EXPECT_FALSE(is_by_xdp());
    EXPECT_EQ(last_line(),
              "tunnel packets come by the kernel's sockets interface=wan why_not_xdp=the XDP "
              "program was detached by another program, or with the interface; tried again");
    EXPECT_EQ(by_xdp_of(kData), 0U);
    EXPECT_LE(fast_path_->wakeup(), now_ + pause);
    pass(pause - 500ms);
    EXPECT_FALSE(is_by_xdp()) << pause.count();
    EXPECT_TRUE(until([&] { return is_by_xdp(); })) << detail();
    EXPECT_THAT(last_line(), StartsWith("tunnel packets come by AF_XDP interface=wan native"));
    EXPECT_EQ(by_xdp_of(kData), 4U);
  }
  pass(61s);
  detach_program_of("wan");
  pass(500ms);
  EXPECT_FALSE(is_by_xdp());
  EXPECT_TRUE(until([&] { return is_by_xdp(); })) << "who held for a minute waits a second";
}

TEST_F(FastPathTest, AModeThatMovesNothingIsLeftWithinTwoSecondsHoweverLittleThereIs) {
  finish_checksums();
  for (const auto per_interval : {1, 10}) {  // pings, and load
    ASSERT_EQ(start_xdp(), "");
    EXPECT_EQ(by_xdp_of(kData), 4U);
    pass(500ms);
    lose_frames_of("wan");
    Duration took{};
    while (fast_path_->report().detail.find("generic") == std::string::npos && took < 5s) {
      EXPECT_EQ(by_xdp_of(kData, Family::v4, per_interval), 0U);
      pass(500ms);
      took += 500ms;
      (void)until([&] { return is_by_xdp(); });
    }
    EXPECT_LE(took, 2s) << per_interval;
    EXPECT_EQ(fast_path_->drops().of(DropReason::xdp_silent), 1U);
    EXPECT_THAT(detail(), AllOf(HasSubstr("wan generic, copies"), HasSubstr("native mode"),
                                HasSubstr("does not arrive")));
    EXPECT_EQ(by_xdp_of(kData), 4U);
  }
}

TEST_F(FastPathTest, WhoGaveUpOnAnInterfaceTriesAgainWhenItIsSetUp) {
  ASSERT_EQ(start_xdp({"wan"}), "");
  for (const auto* mode : {"native", "generic"}) {
    EXPECT_TRUE(until([&] { return detail().find(mode) != std::string::npos; })) << detail();
    finish_checksums();
    lose_frames_of("wan");
    for (int i = 0; i < 3; ++i) {
      (void)by_xdp_of(kData);
      pass(500ms);
    }
  }
  EXPECT_FALSE(is_by_xdp());
  pass(120s);
  EXPECT_FALSE(is_by_xdp()) << "tried again on its own";
  EXPECT_THAT(detail(), HasSubstr("attached in generic mode, but what is redirected does not"));
  change(Kind::link, "ip link set wan down");
  pass(2s);
  output_of("ip link set wan up");
  configure_here();
  wait_up("wan");
  fast_path_->on_change({.kind = Kind::link}, now_);
  EXPECT_TRUE(until([&] { return is_by_xdp(); }, 10s)) << detail();
  EXPECT_THAT(detail(), AllOf(StartsWith("wan native"), Not(HasSubstr("does not arrive"))));
  EXPECT_EQ(by_xdp_of(kData), 4U);
}

TEST_F(FastPathTest, QueuesThatChangeAreTakenUpAtOnce) {
  ASSERT_EQ(start_xdp(), "");
  change(Kind::link, "ethtool -L wan rx 2");
  EXPECT_TRUE(until([&] { return detail().starts_with("wan native, copies, 2 queues"); }, 2s))
      << detail();
  EXPECT_EQ(by_xdp_of(kData), 4U);
}

TEST_F(FastPathTest, ARenamedInterfaceIsFollowed) {
  ASSERT_EQ(start_xdp(), "");
  change(Kind::link, "ip link set wan name uplink");
  EXPECT_TRUE(until([&] { return detail().starts_with("uplink native"); })) << detail();
  EXPECT_EQ(by_xdp_of(kData), 4U);
}

TEST_F(FastPathTest, AnInterfaceThatIsMadeAnewIsTakenUp) {
  ASSERT_EQ(start_xdp({"wan"}), "");
  pass(100ms);
  change(Kind::link, "ip link delete wan");
  pass(150ms);
  EXPECT_EQ(fast_path_->report().name, "kernel") << "before it would have been looked at anyway";
  pass(1s);
  EXPECT_THAT(last_line(), HasSubstr("there is no interface wan: name one"));
  output_of("ip link add wan type veth peer name far && ip link set wan up && ip link set far up");
  move_far();
  fast_path_->on_change({.kind = Kind::link}, now_);
  EXPECT_TRUE(until([&] { return is_by_xdp(); })) << detail();
  EXPECT_EQ(by_xdp_of(kData), 4U);
}

TEST_F(FastPathTest, TheDefaultRouteMovesToAnotherInterface) {
  output_of(
      "ip link add wan2 type veth peer name far2 && ip link set wan2 up && ip link set far2 up");
  ASSERT_EQ(start_xdp(), "");
  route_by("wan2");
  fast_path_->on_change({.kind = Kind::route, .prefix = 24}, now_);
  pass(3s);
  EXPECT_THAT(detail(), StartsWith("wan native")) << "another route is none of ours";
  fast_path_->on_change({.kind = Kind::route, .prefix = 0}, now_);
  EXPECT_TRUE(until([&] { return detail().starts_with("wan2 native"); })) << detail();
  EXPECT_EQ(program_on("wan"), 0U);
  output_of("ip route del default");
  fast_path_->on_change({.kind = Kind::route, .prefix = 0}, now_);
  pass(2s);
  EXPECT_EQ(detail(), "no default route tells the interface: name it, --xdp-interfaces");
  EXPECT_EQ(fast_path_->report().name, "kernel");
  EXPECT_EQ(fast_path_->wakeup(), Instant::max()) << "there is nothing to look at";
  route_by("wan");
  fast_path_->on_change({.kind = Kind::route, .prefix = 0}, now_);
  EXPECT_LE(fast_path_->wakeup(), now_ + 1s);
  EXPECT_TRUE(until([&] { return is_by_xdp(); })) << detail();
}

TEST_F(FastPathTest, AnAddressThatComesIsTakenForOursAndOneThatGoesIsNot) {
  ASSERT_EQ(start_xdp(), "");
  const auto there = [&] {
    auto client = socket_there(Family::v4);
    const OutgoingDatagrams d{.to = {test_ip("10.1.0.77"), io::xdp::kTunnelPort},
                              .from = {},
                              .segment = static_cast<std::uint16_t>(kData.size()),
                              .bytes = kData};
    const auto before = verdicts("data");
    (void)io::kernel::UdpSender{client.fd(), false}.send({&d, 1});
    (void)receive(*kernel_.backend.ports.at(0), 100);
    return verdicts("data") - before;
  };
  over_there([] {
    output_of("ip neigh replace 10.1.0.77 lladdr 02:00:00:00:00:01 dev far nud permanent");
  });
  EXPECT_EQ(there(), 0U);
  change(Kind::address, "ip addr add 10.1.0.77/24 dev wan", 24);
  pass(2s);
  EXPECT_EQ(there(), 1U);
  change(Kind::address, "ip addr del 10.1.0.77/24 dev wan", 24);
  pass(2s);
  EXPECT_EQ(there(), 0U);
}

TEST_F(FastPathTest, ChannelDataIsTakenOfRelaysInUseOnly) {
  ASSERT_EQ(start_xdp(), "");
  for (const auto family : {Family::v4, Family::v6}) {
    auto relay = socket_there(family);
    const SocketAddress server{test_ip(family == Family::v4 ? kThere4 : kThere6), relay.port()};
    ByteVector channel{0x40, 0x01, 0, 100};
    channel.insert(channel.end(), kData.begin(), kData.end());
    EXPECT_EQ(by_xdp_of(channel, relay, 2), 0U);
    fast_path_->on_relay(RelaySlot{3}, server, now_);
    EXPECT_EQ(by_xdp_of(channel, relay, 2), 2U);
    detach_program_of("wan");
    pass(1s);
    EXPECT_TRUE(until([&] { return is_by_xdp(); }, 10s)) << detail();
    EXPECT_EQ(by_xdp_of(channel, relay, 2), 2U) << "the next program knows it, too";
    fast_path_->on_relay(RelaySlot{3}, std::nullopt, now_);
    EXPECT_EQ(by_xdp_of(channel, relay, 2), 0U);
  }
}

TEST_F(FastPathTest, TheWayToARelayCountsAsTheDefaultRouteDoes) {
  output_of(
      "ip link add wan2 type veth peer name far2 && ip link set wan2 up && ip link set far2 up && "
      "ip addr add 10.2.0.1/24 dev wan2");
  ASSERT_EQ(start_xdp(), "");
  fast_path_->on_relay(RelaySlot{1}, SocketAddress{test_ip("10.2.0.9"), 3478}, now_);
  EXPECT_TRUE(until([&] { return detail().find("wan2 native") != std::string::npos; })) << detail();
  EXPECT_THAT(detail(), HasSubstr("wan native"));
  fast_path_->on_relay(RelaySlot{1}, std::nullopt, now_);
  EXPECT_TRUE(until([&] { return program_on("wan2") == 0; })) << detail();
  EXPECT_THAT(detail(), Not(HasSubstr("wan2")));
}

TEST_F(FastPathTest, WhatLeavesByAfXdpFollowsTheRulesForTheSocketsMark) {
  output_of(
      "ip rule add priority 9 fwmark 0xfd002021 lookup 7 && "
      "ip route add blackhole " +
      std::string(kThere4) + " table 7");
  auto options = choosing(BackendChoice::xdp);
  options.send = XdpSendChoice::on;
  ASSERT_EQ(start(options), "");
  (void)receive(*kernel_.backend.ports.at(0), 200);
  const OutgoingDatagrams d{.to = {test_ip(kThere4), 9},
                            .from = {},
                            .segment = static_cast<std::uint16_t>(kData.size()),
                            .bytes = kData};
  const auto send = [&] {
    for (int i = 0; i < 5; ++i) {
      kernel_.backend.ports.at(0)->send({&d, 1});
      if (wait_readable(fast_path_->fd(), 50)) fast_path_->on_readable(now_);
      pass(200ms);
    }
    return fast_path_->report().sent_by_xdp;
  };
  EXPECT_EQ(send(), 0U);
  change(Kind::rule, "ip rule del priority 9");
  EXPECT_GT(send(), 0U);
}

// ---- time ----

TEST_F(FastPathTest, WhileAWorkerHoldsItsQueuesTheControlThreadSleeps) {
  ASSERT_EQ(start_xdp(), "");
  pass(1100ms);
  output_of("ip route del default");
  // No worker runs: nothing lets go, and there is always something to look at.
  int turns = 0;
  const auto end = now_ + 3s;
  for (; now_ < end && turns < 10'000; ++turns) {
    fast_path_->on_turn(now_, "");
    fast_path_->on_change({.kind = Kind::route}, now_);
    now_ = std::clamp(fast_path_->wakeup(), now_, end);
  }
  EXPECT_FALSE(is_by_xdp());
  EXPECT_GT(turns, 2);
  EXPECT_LT(turns, 300);
}

TEST_F(FastPathTest, WhatChangesOftenIsLookedAtOnceASecond) {
  ASSERT_EQ(start_xdp(), "");
  pass(2s);
  take_lines();
  for (int i = 0; i < 20; ++i) {
    route_by(i % 2 == 0 ? "lo" : "wan");
    fast_path_->on_change({.kind = Kind::route}, now_);
    pass(100ms);
  }
  EXPECT_LT(lines_.all.size(), 4U);
}

}  // namespace
}  // namespace fg::gateway
