// A client whose path dies, and one that is not heard at all.
#include "tests/unit/control/controller/client.h"

namespace fg {
namespace {

using test::Connected;

class Busy : public Connected {
 protected:
  // Traffic keeps the connection from going idle; `data_arrives`: what the client sends does.
  void run(Duration by, bool data_arrives = false) {
    for (const auto end = world.now + by; world.now < end;) {
      tell(pipeline::ClientActivity{slot()});
      if (relay_is_heard) tell(pipeline::ChannelActivity{RelaySlot{0}, ChannelNumber{0x4000}});
      client.run(250ms);
      const auto asked = world.commanded<pipeline::AskRoute>().size();
      if (data_arrives && asked > routes_told) {
        const auto& path = world.commanded<pipeline::SetPath>().back()->path;
        tell(pipeline::RouteActivity{
            slot(), {{path.local, 52625}, path.remote, std::nullopt, {}}, std::nullopt});
      }
      routes_told = asked;
    }
  }
  void tell(const pipeline::Event& event) {
    world.controller.on_event(event, world.now, world.wall());
    world.settle();
  }
  [[nodiscard]] ClientSlot slot() const {
    return world.commanded<pipeline::AddClient>().back()->slot;
  }
  [[nodiscard]] std::vector<const portal::BroadcastCandidates*> told() const {
    return world.all_said<portal::BroadcastCandidates>();
  }

  bool relay_is_heard = true;
  std::size_t routes_told = 0;
};

// Spec connectivity 2.9, 3.8: a candidate it does not know makes it ask its relay for a channel.
TEST_F(Busy, AClientThatIsNotHeardIsToldOfACandidateThatLeadsNowhereAndIsVoidAtOnce) {
  run(10s);
  world.said.clear();
  client.is_cut = true;
  run(2800ms);
  auto said = told();
  ASSERT_EQ(said.size(), 2U);
  EXPECT_FALSE(said[0]->invalidated);
  EXPECT_TRUE(said[1]->invalidated);
  ASSERT_EQ(said[0]->candidates.size(), 1U);
  EXPECT_EQ(said[0]->candidates, said[1]->candidates);
  const auto first = said[0]->candidates[0];
  EXPECT_NE(first.find(" 192.0.2."), std::string::npos) << first;
  EXPECT_NE(first.find(" typ relay raddr 0.0.0.0 rport 0 ufrag 6pya"), std::string::npos) << first;
  run(2s);
  said = told();
  ASSERT_EQ(said.size(), 4U);
  EXPECT_NE(said[2]->candidates[0], first) << "for the one before it may have a channel";
  client.is_cut = false;
  run(2s);
  const auto until_heard = told().size();
  run(30s);
  EXPECT_EQ(told().size(), until_heard);
}

TEST_F(Busy, AGatewayThatHearsNobodyBlamesNoClient) {
  run(10s);
  world.said.clear();
  client.is_cut = true;
  relay_is_heard = false;
  world.relay.is_silent = true;
  run(7s);
  EXPECT_TRUE(told().empty());
}

TEST_F(Busy, AClientThatIsNotHeardAndAsksAgainIsPromptedAtOnce) {
  const auto leads_nowhere = [](const std::vector<std::string>& lines) {
    return std::any_of(lines.begin(), lines.end(), [](const std::string& line) {
      return line.find(" 192.0.2.") != std::string::npos;
    });
  };
  run(10s);
  world.said.clear();
  world.portal_says(client.request("ref-2"));
  ASSERT_EQ(told().size(), 1U) << "heard: nothing but its candidates again";
  EXPECT_FALSE(leads_nowhere(told()[0]->candidates));
  client.is_cut = true;
  run(5s);
  world.said.clear();
  world.portal_says(client.request("ref-3"));
  ASSERT_EQ(told().size(), 2U);
  EXPECT_TRUE(leads_nowhere(told()[0]->candidates));
  EXPECT_TRUE(leads_nowhere(told()[1]->candidates));
  EXPECT_TRUE(told()[1]->invalidated);
}

TEST_F(Busy, SilentClientsTogetherArePromptedAHundredTimesASecond) {
  run(10s);
  client.is_cut = true;
  run(5s);
  world.said.clear();
  for (int i = 0; i < 2 * controller::kPromptBurst; ++i)
    world.portal_says(client.request(("ref-" + std::to_string(i)).c_str()));
  const auto said = told();
  EXPECT_EQ(
      std::count_if(said.begin(), said.end(), [](const auto* one) { return one->invalidated; }),
      controller::kPromptBurst);
}

// With and without a worker that repeats answers and tells of them late.
class TwoFamilies : public Busy, public ::testing::WithParamInterface<bool> {
 protected:
  void SetUp() override {
    client.add_second("[2001:db8:51::20]:52625");
    Busy::SetUp();
    if (GetParam()) client.put_worker_between();
    run(10s);
    if (GetParam()) {
      ASSERT_GE(client.worker->answers.size(), 2U);
    }
    used = world.commanded<pipeline::SetPath>().back()->path.remote.family();
    world.said.clear();
  }
  Family used = Family::v4;
};

TEST_P(TwoFamilies, AFamilyThatDiesIsWithdrawnAndAnnouncedAgainAfterThirtySeconds) {
  client.cut_family = used;
  run(8s);
  ASSERT_EQ(told().size(), 1U);
  EXPECT_TRUE(told()[0]->invalidated);
  const auto lines = told()[0]->candidates;
  const auto has = [&](const SocketAddress& address) {
    return lines[0].find(' ' + address.ip.to_string() + ' ') != std::string::npos;
  };
  ASSERT_FALSE(lines.empty());
  EXPECT_TRUE(has(used == Family::v4 ? world.host_v4 : world.host_v6)) << lines[0];
  run(30s);
  ASSERT_EQ(told().size(), 2U);
  EXPECT_FALSE(told()[1]->invalidated);
  EXPECT_EQ(told()[1]->candidates, lines);
}

TEST_P(TwoFamilies, TheWorkerIsAskedOnceADoubtWhetherDataComesThatWayAndItsAnswerCounts) {
  client.cut_family = used;
  run(12s, true);
  EXPECT_TRUE(told().empty());
  const auto asked = world.commanded<pipeline::AskRoute>().size();
  EXPECT_GE(asked, 2U);
  EXPECT_LE(asked, 4U);
}

TEST_P(TwoFamilies, WhileAPathIsInDoubtEveryCheckIsTheControllers) {
  if (!GetParam()) return;
  client.cut_family = used;
  run(3500ms);
  EXPECT_GE(client.worker->taken_back, 1U);
  const auto before = client.worker->answered;
  run(1500ms);
  EXPECT_EQ(client.worker->answered, before);
}

INSTANTIATE_TEST_SUITE_P(Worker, TwoFamilies, ::testing::Bool(), [](const auto& with) {
  return std::string{with.param ? "Answers" : "Absent"};
});

}  // namespace
}  // namespace fg
