// Questions of a worker answered from a real host; the clock is the test's.
#include "gateway/xdp_sending.h"

#include <bpf/bpf.h>
#include <gmock/gmock.h>

#include "tests/unit/gateway/lines.h"
#include "tests/unit/io/xdp/two_hosts.h"

namespace fg::gateway {
namespace {

using io::xdp::kThere4;
using io::xdp::kThere6;
using io::xdp::SendMode;
using test::output_of;
using ::testing::HasSubstr;

constexpr const char* kFree = "sends by sockets: nothing was measured yet";
const auto kBytes = io::xdp::data_message(200);

class XdpSendingTest : public io::xdp::TwoHosts {
 protected:
  void begin(XdpSendChoice choice) {
    open(1, choice == XdpSendChoice::on ? SendMode::on : SendMode::measured);
    auto netlink = Netlink::open();
    ASSERT_TRUE(netlink);
    netlink_ = std::move(*netlink);
    auto opened = XdpSending::open(choice, {io::xdp::kTunnelPort, io::xdp::kTunnelPort, 0},
                                   *netlink_, backend_.ports, Log{lines_, "backend"});
    ASSERT_TRUE(opened) << opened.error().to_string();
    sending_ = std::move(*opened);
    auto sends = options();
    sends.sends = true;
    link_ = attach(sends);
    (void)receive(port(), 200);  // the worker takes the queue up
    attached_ = {link_->index()};
    pass(1s);
  }
  void TearDown() override {
    link_.reset();
    sending_.reset();
    TwoHosts::TearDown();
  }
  void pass(Duration time) {
    const auto until = now_ + time;
    turn();
    while (now_ < until) {
      now_ = std::clamp(sending_->wakeup(), now_ + 1ms, until);
      turn();
    }
  }
  // What woke the control thread is looked at, too.
  void turn() {
    pollfd p{sending_->fd(), POLLIN, 0};
    if (::poll(&p, 1, 0) == 1) sending_->on_readable(now_);
    sending_->set_attached(attached_, now_);
    sending_->on_turn(now_, netfilter_);
  }
  void send(const char* to) {
    const OutgoingDatagrams d{.to = {test_ip(to), 9},
                              .from = {},
                              .segment = static_cast<std::uint16_t>(kBytes.size()),
                              .bytes = kBytes};
    port().send({&d, 1});
  }
  // Whether it leaves by AF_XDP now; unknown, it is asked for.
  bool is_by_xdp(const char* to) {
    const auto before = port().counters().sent_by_xdp.load();
    send(to);
    return port().counters().sent_by_xdp.load() != before;
  }
  // Whether it does once the question was answered.
  bool is_found(const char* to) {
    (void)is_by_xdp(to);
    pass(XdpSending::kSettle + 10ms);
    return is_by_xdp(to);
  }
  // A program at tcx that lets everything pass, for as long as the descriptor is open.
  static io::kernel::FileDescriptor judges_what_leaves(const char* device) {
    const std::array<bpf_insn, 2> code{
        bpf_insn{BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, -1},  // TCX_NEXT
        bpf_insn{BPF_JMP | BPF_EXIT, 0, 0, 0, 0}};
    const io::kernel::FileDescriptor program{::bpf_prog_load(
        BPF_PROG_TYPE_SCHED_CLS, "pass", "Apache-2.0", code.data(), code.size(), nullptr)};
    constexpr auto kTcxEgress = static_cast<bpf_attach_type>(47);
    return io::kernel::FileDescriptor{::bpf_link_create(
        program.get(), static_cast<int>(::if_nametoindex(device)), kTcxEgress, nullptr)};
  }
  std::string description() { return sending_->describe(*link_); }

  Lines lines_;
  std::unique_ptr<Netlink> netlink_;
  std::unique_ptr<XdpSending> sending_;
  std::unique_ptr<io::xdp::Link> link_;
  std::vector<unsigned> attached_;
  std::string netfilter_;
  Instant now_{1h};
};

TEST_F(XdpSendingTest, AQuestionIsAnsweredForEitherFamily) {
  begin(XdpSendChoice::on);
  for (const auto* to : {kThere4, kThere6}) {
    EXPECT_FALSE(is_by_xdp(to)) << "nobody knows the way yet";
    turn();
    EXPECT_TRUE(is_by_xdp(to));
  }
  EXPECT_EQ(description(), "sends by AF_XDP");
}

TEST_F(XdpSendingTest, AfterAChangeTheSocketsServeUntilItSettled) {
  begin(XdpSendChoice::on);
  ASSERT_TRUE(is_found(kThere4));
  for (int i = 0; i < 5; ++i) {
    sending_->on_change(now_);
    EXPECT_FALSE(is_by_xdp(kThere4)) << "an old way";
    pass(XdpSending::kSettle - 10ms);
    EXPECT_FALSE(is_by_xdp(kThere4)) << "while changes keep coming";
  }
  pass(20ms);
  EXPECT_TRUE(is_by_xdp(kThere4));
}

TEST_F(XdpSendingTest, AfterAChangeTheHostIsReadAgain) {
  begin(XdpSendChoice::on);
  ASSERT_TRUE(is_found(kThere4));
  output_of("ip link set wan mtu 220");
  sending_->on_change(now_);
  EXPECT_FALSE(is_found(kThere4)) << "longer than the MTU";
  output_of("ip link set wan mtu 1500");
  sending_->on_change(now_);
  EXPECT_TRUE(is_found(kThere4));
}

TEST_F(XdpSendingTest, ANeighbourThatChangesIsFollowedAndOthersAreNobodysBusiness) {
  begin(XdpSendChoice::on);
  ASSERT_TRUE(is_found(kThere4));
  output_of("ip neigh replace 10.1.0.9 lladdr 02:00:00:00:00:09 dev wan nud permanent");
  turn();
  EXPECT_TRUE(is_by_xdp(kThere4));
  output_of("ip neigh replace " + std::string(kThere4) +
            " lladdr 02:00:00:00:00:03 dev wan nud permanent");
  turn();
  EXPECT_FALSE(is_by_xdp(kThere4));
  EXPECT_TRUE(is_found(kThere4));
  output_of("ip neigh del " + std::string(kThere4) + " dev wan");
  turn();
  EXPECT_FALSE(is_by_xdp(kThere4)) << "nobody's address is known";
  // What the socket sent has the kernel ask for it.
  bool is_back = false;
  for (int i = 0; i < 200 && !is_back; ++i) {
    (void)::poll(nullptr, 0, 10);
    is_back = is_found(kThere4);
  }
  EXPECT_TRUE(is_back);
}

TEST_F(XdpSendingTest, AnswersAreAskedForAgainAfterAWhile) {
  begin(XdpSendChoice::on);
  ASSERT_TRUE(is_found(kThere4));
  // A socket filter of netlink's loses every announcement: nobody calls on_change().
  output_of("ip link set wan mtu 1280");
  const auto asked = now_;
  while (is_by_xdp(kThere4) && now_ < asked + 1min) pass(1s);
  EXPECT_GE(now_ - asked, XdpSending::kFresh - 2s);
  EXPECT_LE(now_ - asked, XdpSending::kFresh + 1s);
  EXPECT_TRUE(is_found(kThere4));
}

TEST_F(XdpSendingTest, WhatIsNotAttachedAnyMoreIsNotSentBy) {
  begin(XdpSendChoice::on);
  ASSERT_TRUE(is_found(kThere4));
  attached_.clear();
  turn();
  EXPECT_FALSE(is_by_xdp(kThere4));
  EXPECT_FALSE(is_found(kThere4));
  attached_ = {link_->index()};
  turn();
  EXPECT_TRUE(is_found(kThere4));
}

TEST_F(XdpSendingTest, ManyQuestionsAreAnsweredInTurns) {
  begin(XdpSendChoice::on);
  constexpr int kMany = 200;
  const auto address = [](int i) { return "10.1.0." + std::to_string(20 + i); };
  for (int i = 0; i < kMany; ++i) {
    output_of("ip neigh replace " + address(i) + " lladdr 02:00:00:00:00:02 dev wan nud permanent");
  }
  pass(1s);
  for (int i = 0; i < kMany; ++i) EXPECT_FALSE(is_by_xdp(address(i).c_str()));
  pass(200ms);
  int found = 0;
  for (int i = 0; i < kMany; ++i) found += is_by_xdp(address(i).c_str()) ? 1 : 0;
  EXPECT_EQ(found, kMany);
}

// ---- left to itself ----

TEST_F(XdpSendingTest, NothingLeavesPastWhatOthersDoToWhatLeaves) {
  begin(XdpSendChoice::automatic);
  struct Case {
    const char* set;
    const char* why;
    const char* unset;
  };
  for (const auto& [set, why, unset] : {
           Case{"tc qdisc replace dev wan root tbf rate 1gbit burst 1mb latency 50ms",
                "tc has tbf on wan", "tc qdisc del dev wan root"},
           Case{"tc qdisc add dev wan clsact && tc filter add dev wan egress bpf da bytecode "
                "'1,6 0 0 0,'",
                "tc has egress filters on wan", "tc qdisc del dev wan clsact"},
           Case{"ip xfrm policy add src 10.0.0.0/8 dst 10.9.0.0/16 dir out tmpl src 10.1.0.1 dst "
                "10.1.0.9 proto esp mode tunnel",
                "the host has IPsec policies", "ip xfrm policy flush"},
       }) {
    output_of(set);
    sending_->on_change(now_);
    (void)is_found(kThere4);
    EXPECT_EQ(description(), std::string("sends by sockets: ") + why);
    for (int i = 0; i < 100; ++i) EXPECT_FALSE(is_by_xdp(kThere4)) << why;
    output_of(unset);
    sending_->on_change(now_);
    (void)is_found(kThere4);
    EXPECT_THAT(description(), ::testing::Not(HasSubstr(why)));
  }
  {
    const auto judge = judges_what_leaves("wan");
    if (judge.is_open()) {  // Linux 6.6
      sending_->on_change(now_);
      (void)is_found(kThere4);
      EXPECT_EQ(description(), "sends by sockets: BPF programs are on the way out of wan");
    }
  }
  netfilter_ = "table inet somebodys, chain out has rules";
  pass(1s);
  (void)is_found(kThere4);
  EXPECT_EQ(description(), "sends by sockets: " + netfilter_);
  netfilter_.clear();
  pass(1s);
  (void)is_found(kThere4);
  EXPECT_THAT(description(), ::testing::Not(HasSubstr("somebodys")));
}

TEST_F(XdpSendingTest, DemandedItSendsRegardless) {
  begin(XdpSendChoice::on);
  netfilter_ = "table inet somebodys, chain out has rules";
  output_of(
      "ip xfrm policy add src 10.0.0.0/8 dst 10.9.0.0/16 dir out tmpl src 10.1.0.1 dst "
      "10.1.0.9 proto esp mode tunnel");
  sending_->on_change(now_);
  EXPECT_TRUE(is_found(kThere4));
}

TEST_F(XdpSendingTest, WhatWasMeasuredIsSaidOnceAndDescribed) {
  begin(XdpSendChoice::automatic);
  EXPECT_EQ(description(), kFree);
  (void)is_found(kThere4);
  for (std::size_t i = 0; i < 2 * io::xdp::SendChoice::kSamples; ++i) send(kThere4);
  for (int i = 0; i < 3; ++i) sending_->say_what_was_measured(*link_);
  ASSERT_EQ(lines_.all.size(), 1U);
  EXPECT_THAT(
      lines_.all[0],
      HasSubstr("sending measured interface=wan queue=0 bursts_of=single datagrams leave="));
  EXPECT_THAT(description(), HasSubstr("sends single datagrams by"));
}

}  // namespace
}  // namespace fg::gateway
