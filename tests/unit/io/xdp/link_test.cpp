#include "io/xdp/link.h"

#include <bpf/bpf.h>
#include <gmock/gmock.h>

#include <atomic>
#include <thread>

#include "tests/unit/io/xdp/two_hosts.h"

namespace fg::io::xdp {
namespace {

using Reason = AttachError::Reason;

class LinkTest : public TwoHosts {
 protected:
  // As many queues as said on either end.
  void make_pair_with(unsigned queues) {
    const auto n = std::to_string(queues);
    output_of("ip link delete wan; ip link add wan numtxqueues " + n + " numrxqueues " + n +
              " type veth peer name far numtxqueues " + n + " numrxqueues " + n +
              " && ip link set wan up && ip link set far up");
    move_far();
  }
  // What the control thread does until the workers have let go.
  void finish(std::unique_ptr<Link>& link) {
    link->leave();
    for (int i = 0; i < 50 && !link->is_done(); ++i) {
      for (std::size_t worker = 0; worker < backend_.ports.size(); ++worker)
        (void)receive(port(worker), 20);
    }
    EXPECT_TRUE(link->is_done());
    link.reset();
  }
  void expect_data_arrives(bool by_xdp, std::size_t workers = 1) {
    auto client = socket_there(Family::v4);
    const auto count = [&] {
      std::uint64_t sum = 0;
      for (const auto* p : backend_.ports)
        sum += by_xdp ? p->counters().data_by_xdp : p->counters().data_by_socket;
      return sum;
    };
    const auto before = count();
    for (unsigned i = 0; i < 5; ++i) send_data(client, data_message(100, i));
    for (int i = 0; i < 250 && count() < before + 5; ++i) {
      for (std::size_t worker = 0; worker < workers; ++worker) (void)receive(port(worker), 20);
    }
    EXPECT_EQ(count(), before + 5) << (by_xdp ? "by AF_XDP" : "by the socket");
  }

  // By its BPF link, found as bpftool finds it.
  static void detach_as_another_program(const Program& program) {
    bpf_prog_info ours{};
    std::uint32_t size = sizeof ours;
    ASSERT_EQ(::bpf_obj_get_info_by_fd(program.descriptor(), &ours, &size), 0);
    bool is_found = false;
    for (std::uint32_t id = 0; ::bpf_link_get_next_id(id, &id) == 0;) {
      const kernel::FileDescriptor link{::bpf_link_get_fd_by_id(id)};
      bpf_link_info info{};
      size = sizeof info;
      if (::bpf_obj_get_info_by_fd(link.get(), &info, &size) != 0 || info.prog_id != ours.id)
        continue;
      EXPECT_EQ(::bpf_link_detach(link.get()), 0);
      is_found = true;
    }
    ASSERT_TRUE(is_found);
  }

  DropCounters drops_;
};

TEST_F(LinkTest, ItSaysWhatItGot) {
  open();
  auto link = attach(options());
  EXPECT_EQ(link->mode(), AttachMode::native);
  EXPECT_EQ(link->is_zero_copy(), has_zero_copy());
  EXPECT_EQ(link->queues(), 1U);
  expect_data_arrives(true);
  EXPECT_EQ(link->check(drops_), Link::Fault::none);
  finish(link);
}

TEST_F(LinkTest, GenericModeWorksAsWell) {
  open();
  auto generic = options();
  generic.program.only = AttachMode::generic;
  finish_checksums();
  over_there([] { output_of("ethtool -K far tx off"); });  // as from a wire: with its checksum
  auto link = attach(generic);
  EXPECT_EQ(link->mode(), AttachMode::generic);
  expect_data_arrives(true);
  finish(link);
}

// A sender on the same machine lets its device cut them, and this device may hand them in whole.
TEST_F(LinkTest, DatagramsThatASenderJoinedArriveOneByOne) {
  for (const auto mode : {AttachMode::native, AttachMode::generic}) {
    open();
    auto one_mode = options();
    one_mode.program.only = mode;
    auto link = attach(one_mode);
    for (const auto family : {Family::v4, Family::v6}) {
      ByteVector four;
      for (unsigned i = 0; i < 4; ++i) {
        const auto one = data_message(100, i);
        four.insert(four.end(), one.begin(), one.end());
      }
      auto client = socket_there(family);
      const OutgoingDatagrams d{
          .to = {test_ip(family == Family::v4 ? kHere4 : kHere6), kTunnelPort},
          .from = {},
          .segment = 100,
          .bytes = four};
      ASSERT_EQ((kernel::UdpSender{client.fd(), true}.send({&d, 1}).datagrams), 4U);
      const auto arrived = collect_here(4);
      ASSERT_EQ(arrived.size(), 4U) << to_string(mode);
      for (unsigned i = 0; i < 4; ++i) EXPECT_EQ(arrived[i].bytes, data_message(100, i));
    }
    finish(link);
    backend_ = {};
  }
}

// A program of another's would be in the way of an attempt, and is not noticed.
TEST_F(LinkTest, CopiesAreRefusedBeforeAnythingIsAttachedWhereZeroCopyIsWanted) {
  open();
  const auto other = Program::attach({.interface = "wan"});
  ASSERT_TRUE(other);
  auto zero_copy = options();
  zero_copy.need_zero_copy = true;
  const auto link = Link::attach(zero_copy, backend_.ports);
  ASSERT_FALSE(link);
  EXPECT_EQ(link.error().reason, Reason::only_copies);
  EXPECT_THAT(link.error().detail, ::testing::HasSubstr("nothing attached"));
  expect_data_arrives(false);
}

// A driver may promise it, and refuse it when it is asked for.
TEST_F(LinkTest, WhereZeroCopyIsWantedItIsHadOrNothingStays) {
  open();
  auto zero_copy = options();
  zero_copy.need_zero_copy = true;
  if (has_zero_copy()) {
    auto link = attach(zero_copy);
    expect_data_arrives(true);
    finish(link);
    return;
  }
  const auto link = try_attach(zero_copy);
  ASSERT_FALSE(link);
  EXPECT_EQ(link.error().reason, Reason::only_copies) << link.error().to_string();
  EXPECT_EQ(output_of("ip -d link show dev wan").find("prog/xdp"), std::string::npos);
  expect_data_arrives(false);
}

TEST_F(LinkTest, WhatIsNoEthernetDeviceIsSaidWhereZeroCopyIsWanted) {
  open();
  for (const auto& [interface, reason] :
       {std::pair{"wan7", Reason::no_interface}, std::pair{"lo", Reason::not_ethernet}}) {
    auto zero_copy = options();
    zero_copy.need_zero_copy = true;
    zero_copy.program.interface = interface;
    const auto link = Link::attach(zero_copy, backend_.ports);
    ASSERT_FALSE(link);
    EXPECT_EQ(link.error().reason, reason);
  }
}

TEST_F(LinkTest, QueuesAreSpreadOverTheWorkers) {
  make_pair_with(3);
  open(2);
  auto link = attach(options());
  EXPECT_EQ(link->queues(), 3U);
  EXPECT_EQ(port(0).queues(), 2U);
  EXPECT_EQ(port(1).queues(), 1U);
  expect_data_arrives(true, 2);
  finish(link);
}

TEST_F(LinkTest, AQueueOfAnotherProgramIsSaid) {
  open();
  const auto other = QueueSocket::open({.interface = "wan"});
  ASSERT_TRUE(other);
  const auto link = Link::attach(options(), backend_.ports);
  ASSERT_FALSE(link);
  EXPECT_EQ(link.error().reason, Reason::queue_taken);
  EXPECT_EQ(port().queues(), 0U);
}

TEST_F(LinkTest, WhoeverDetachesTheProgramIsNoticedAndTheSocketGoesOn) {
  open();
  auto link = attach(options());
  expect_data_arrives(true);
  detach_as_another_program(*link->program());
  EXPECT_EQ(link->check(drops_), Link::Fault::detached);
  expect_data_arrives(false);
  finish(link);
  link = attach(options());
  ASSERT_TRUE(link);
  expect_data_arrives(true);
  finish(link);
}

TEST_F(LinkTest, AnInterfaceThatGoesDownAndUpKeepsItsProgram) {
  open();
  auto link = attach(options());
  expect_data_arrives(true);
  output_of("ip link set wan down");
  EXPECT_EQ(link->check(drops_), Link::Fault::none);
  EXPECT_TRUE(receive(port(), 50).empty());
  configure_here();
  wait_up("wan");
  expect_data_arrives(true);
  finish(link);
}

TEST_F(LinkTest, AnInterfaceThatIsDeletedAndMadeAgainCanBeAttachedAgain) {
  open();
  auto link = attach(options());
  expect_data_arrives(true);
  make_pair_with(1);
  EXPECT_EQ(link->check(drops_), Link::Fault::detached);
  finish(link);
  expect_data_arrives(false);
  link = attach(options());
  ASSERT_TRUE(link);
  expect_data_arrives(true);
  finish(link);
}

TEST_F(LinkTest, AChangedNumberOfQueuesIsNoticed) {
  make_pair_with(4);
  output_of("ethtool -L wan rx 2 tx 2");
  over_there([] { output_of("ethtool -L far rx 2 tx 2"); });
  open();
  auto link = attach(options());
  EXPECT_EQ(link->queues(), 2U);
  output_of("ethtool -L wan rx 4");
  EXPECT_EQ(link->check(drops_), Link::Fault::queues_changed);
  finish(link);
  link = attach(options());
  ASSERT_TRUE(link);
  EXPECT_EQ(link->queues(), 4U);
  expect_data_arrives(true);
  finish(link);
}

TEST_F(LinkTest, WhatIsRedirectedAndNeverArrivesIsNoticed) {
  open();
  auto link = attach(options());
  expect_data_arrives(true);
  EXPECT_EQ(link->check(drops_), Link::Fault::none);
  // A socket of another device refuses the frames; no counter of ours tells.
  output_of("ip link add b0 type veth peer name b1 && ip link set b0 up && ip link set b1 up");
  const auto stranger = QueueSocket::open({.interface = "b0"});
  ASSERT_TRUE(stranger);
  ASSERT_FALSE(link->program()->set_socket(0, (*stranger)->fd()));
  auto client = socket_there(Family::v4);
  auto fault = Link::Fault::none;
  for (int look = 0; look < 2; ++look) {
    EXPECT_EQ(fault, Link::Fault::none);
    for (unsigned i = 0; i < 10; ++i) send_data(client, data_message(100, i));
    EXPECT_TRUE(receive(port(), 50).empty());
    fault = link->check(drops_);
  }
  EXPECT_EQ(fault, Link::Fault::silent);
  finish(link);
  expect_data_arrives(false);
}

TEST_F(LinkTest, AWorkerThatStandsStillIsNotTheModesFault) {
  open();
  auto link = attach(options());
  auto client = socket_there(Family::v4);
  for (unsigned look = 1; look <= 4; ++look) {
    for (unsigned i = 0; i < 10; ++i) send_data(client, data_message(100, i));
    for (int i = 0; i < 100 && link->socket(0)->waiting() < 10 * look; ++i)
      (void)::poll(nullptr, 0, 20);  // they are on their way
    EXPECT_EQ(link->check(drops_), Link::Fault::none);
  }
  EXPECT_EQ(collect_here(40).size(), 40U);
  finish(link);
}

// As the gateway does it: the control thread attaches, looks and leaves, a worker receives.
TEST_F(LinkTest, QueuesComeAndGoUnderAWorkerThatRuns) {
  open();
  std::atomic<bool> is_over{false};
  std::thread worker{[&] {
    while (!is_over) (void)receive(port(), 20);
  }};
  auto client = socket_there(Family::v4);
  const auto arrived = [&] {
    const auto& counters = port().counters();
    return counters.data_by_xdp.load() + counters.data_by_socket.load();
  };
  pollfd nothing{-1, 0, 0};
  std::uint64_t sent = 0;
  std::size_t attached = 0;
  for (int round = 0; round < 5; ++round) {
    auto link = Link::attach(options(), backend_.ports);
    for (int i = 0; i < 100 && !link; ++i) {
      (void)::poll(&nothing, 1, 20);  // the last round's queue is free a little later
      link = Link::attach(options(), backend_.ports);
    }
    if (!link) break;
    ++attached;
    const std::array ours{test_ip(kHere4), test_ip(kHere6)};
    EXPECT_FALSE((*link)->program()->set_addresses(ours));
    for (unsigned i = 0; i < 50; ++i, ++sent) send_data(client, data_message(100, i));
    EXPECT_EQ((*link)->check(drops_), Link::Fault::none);
    (*link)->leave();
    for (int i = 0; i < 250 && !(*link)->is_done(); ++i) (void)::poll(&nothing, 1, 20);
    EXPECT_TRUE((*link)->is_done());
  }
  for (int i = 0; i < 250 && arrived() < sent; ++i) (void)::poll(&nothing, 1, 20);
  is_over = true;
  worker.join();
  EXPECT_EQ(attached, 5U);
  EXPECT_EQ(arrived(), sent);
  std::printf("%lu datagrams, %lu of them by AF_XDP\n", sent, port().counters().data_by_xdp.load());
}

TEST_F(LinkTest, WhatTheSocketsHadToDropIsCounted) {
  open();
  auto link = attach(options());
  auto client = socket_there(Family::v4);
  for (unsigned i = 0; i < kReceiveRing + 100; ++i) send_data(client, data_message(32, i));
  for (int i = 0; i < 100 && link->socket(0)->losses().ring_full < 100; ++i)
    (void)::poll(nullptr, 0, 20);  // they are on their way
  EXPECT_EQ(link->check(drops_), Link::Fault::none) << "the worker's fault, not the mode's";
  EXPECT_EQ(drops_.of(DropReason::xdp_ring_full), 100U);
  EXPECT_EQ(link->check(drops_), Link::Fault::none);
  EXPECT_EQ(drops_.of(DropReason::xdp_ring_full), 100U) << "counted twice";
  EXPECT_EQ(collect_here(kReceiveRing).size(), kReceiveRing);
  finish(link);
}

}  // namespace
}  // namespace fg::io::xdp
