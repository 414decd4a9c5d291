#include "base/encoding.h"
#include "support.h"

namespace fg::ice::testing {
namespace {

// Yields the given bytes first, zeros afterwards.
class ScriptedRandom final : public Random {
 public:
  explicit ScriptedRandom(ByteVector script) : script_(std::move(script)) {}
  void fill(MutableBytes out) override {
    for (auto& byte : out) byte = at_ < script_.size() ? script_[at_++] : std::uint8_t{0};
  }

 private:
  ByteVector script_;
  std::size_t at_ = 0;
};

constexpr std::string_view kRequestHex =
    "000100482112a442000102030405060708090a0b000600097168706d3a6d703567000000802a000801020304"
    "05060708002400046efffeff00250000000800143877aa5156de5c407904a1da4c9ec1d0c4782ad980280004"
    "ae79ecbe";
constexpr std::string_view kSuccessHex =
    "0101002c2112a442000102030405060708090a0b002000080001ec83e112a643000800145c4a4e091d22c9f4"
    "c03051c173686e5975912484802800045294dd1f";

TEST(AgentMessages, CheckOfTheControllingSideIsTheVectorOfTheSpec) {
  // Spec connectivity 10.2: tie-breaker, then an id for the first check, then the one of the
  // vector.
  ByteVector script{8, 7, 6, 5, 4, 3, 2, 1};
  script.insert(script.end(), 12, 0xFF);
  for (std::uint8_t i = 0; i < 12; ++i) script.push_back(i);
  ScriptedRandom random{script};
  Agent client{client_options(), random, kStart};
  client.add_local(LocalAddress::host(at("192.0.2.1:52625")), kStart);
  client.add_remote(host_line("192.0.2.10:52625"), kStart);
  client.on_timeout(kStart);
  const auto first = client.poll_transmit();
  ASSERT_TRUE(first);
  const auto answer = success(*first->transaction, first->local, "kvpwadif6734sdalah6lja");
  EXPECT_EQ(client.on_message(*stun::Message::parse(answer), first->local, first->remote, kStart),
            std::nullopt);
  client.on_timeout(kStart);
  const auto second = client.poll_transmit();
  ASSERT_TRUE(second);
  EXPECT_EQ(hex(second->bytes), kRequestHex);
}

TEST_F(AgentTest, SuccessIsTheVectorOfTheSpec) {
  agent_.add_local(LocalAddress::host(host_), now_);
  EXPECT_EQ(receive(*decode_hex(kRequestHex), host_, at("192.0.2.1:52625")), std::nullopt);
  const auto sent = drain();
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(hex(sent[0].bytes), kSuccessHex);
  EXPECT_EQ(sent[0].local, host_);
  EXPECT_EQ(sent[0].remote, at("192.0.2.1:52625"));
  EXPECT_FALSE(sent[0].relayed);
  EXPECT_FALSE(sent[0].transaction);
}

TEST_F(AgentTest, CheckOfTheGatewayNamesBothUfragsRoleAndPrflxPriority) {
  agent_.add_local(LocalAddress::host(host_), now_);
  agent_.add_remote(host_line("192.0.2.20:52625"), now_);
  const auto sent = run_for(0s);
  ASSERT_EQ(sent.size(), 1U);
  const auto check = stun::Message::parse(sent[0].bytes);
  ASSERT_TRUE(check);
  EXPECT_EQ(check->username(), "mp5g:qhpm");
  EXPECT_TRUE(check->ice_controlled());
  EXPECT_FALSE(check->ice_controlling());
  EXPECT_EQ(check->priority(), 1862270719U);
  EXPECT_FALSE(check->use_candidate());
  EXPECT_TRUE(check->verify_integrity(as_bytes("3bge3cho6ue5a4xiy6p34m")));
  EXPECT_TRUE(check->has_fingerprint());
  EXPECT_EQ(check->transaction(), *sent[0].transaction);
}

// Spec connectivity 9.2, case 4 and 2.2.
TEST_F(AgentTest, RequestThatIsNotRightGetsNoReply) {
  agent_.add_local(LocalAddress::host(host_), now_);
  const auto dropped = [&](Request request) {
    const auto reason = receive(request.bytes(), host_, peer_);
    EXPECT_TRUE(drain().empty());
    EXPECT_EQ(agent_.pair_count(), 0U);
    return reason;
  };
  EXPECT_EQ(dropped({.username = "xxxx:mp5g"}), DropReason::unknown_stun);
  EXPECT_EQ(dropped({.username = "qhpm:xxxx"}), DropReason::unknown_stun);
  EXPECT_EQ(dropped({.username = "qhpm:"}), DropReason::malformed_stun);
  EXPECT_EQ(dropped({.username = "qhpm"}), DropReason::malformed_stun);
  EXPECT_EQ(dropped({.username = ""}), DropReason::malformed_stun);
  EXPECT_EQ(dropped({.password = "wrong"}), DropReason::bad_stun_integrity);
  EXPECT_EQ(dropped({.priority = std::nullopt}), DropReason::malformed_stun);
  EXPECT_EQ(dropped({.with_integrity = false}), DropReason::malformed_stun);
  EXPECT_EQ(dropped({.type_class = stun::Class::indication}), DropReason::unknown_stun);
  EXPECT_EQ(dropped({.type_class = stun::Class::error}), DropReason::unknown_stun);
  auto bytes = Request{}.bytes();
  bytes.back() = static_cast<std::uint8_t>(bytes.back() ^ 1);
  EXPECT_EQ(receive(bytes, host_, peer_), DropReason::malformed_stun) << "FINGERPRINT";
  EXPECT_EQ(receive(Request{}.bytes(), host_, peer_), std::nullopt) << "and the right one passes";
}

// Spec connectivity 9.2, case 3.
TEST_F(AgentTest, RequestToAnAddressThatIsNoCandidateIsDropped) {
  EXPECT_EQ(receive(Request{}.bytes(), host_, peer_), DropReason::unknown_stun);
  agent_.add_local(LocalAddress::host(host_), now_);
  agent_.add_local(LocalAddress::server_reflexive(at("198.51.100.1:4000"), host_), now_);
  EXPECT_EQ(receive(Request{}.bytes(), at("192.0.2.10:52626"), peer_), DropReason::unknown_stun);
  EXPECT_EQ(receive(Request{}.bytes(), at("198.51.100.1:4000"), peer_), DropReason::unknown_stun);
  EXPECT_TRUE(drain().empty());
  EXPECT_TRUE(agent_.remote_candidates().empty());
}

TEST_F(AgentTest, RequestOnARelayedAddressIsAnsweredThroughTheRelay) {
  agent_.add_local(LocalAddress::relayed(relayed_, Family::v4), now_);
  EXPECT_EQ(receive(Request{}.bytes(), relayed_, peer_), std::nullopt);
  const auto sent = drain();
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_TRUE(sent[0].relayed);
  EXPECT_EQ(sent[0].local, relayed_);
}

TEST_F(AgentTest, RequestOnALostRelayedAddressIsDropped) {
  agent_.add_local(LocalAddress::relayed(relayed_, Family::v4), now_);
  agent_.remove_local(relayed_, now_);
  EXPECT_EQ(receive(Request{}.bytes(), relayed_, peer_), DropReason::unknown_stun);
}

// Spec connectivity 9.2, case 2.
TEST_F(AgentTest, UnknownSourceBecomesAPrflxPairedWhereItArrivedAndCheckedAtOnce) {
  agent_.add_local(LocalAddress::host(host_), now_);
  agent_.add_local(LocalAddress::relayed(relayed_, Family::v4), now_);
  run_for(0s);
  EXPECT_EQ(receive(Request{.priority = 777}.bytes(), host_, peer_), std::nullopt);
  EXPECT_EQ(agent_.pair_count(), 1U);
  ASSERT_EQ(agent_.remote_candidates().size(), 1U);
  EXPECT_EQ(agent_.remote_candidates()[0].kind, CandidateKind::prflx);
  EXPECT_EQ(agent_.remote_candidates()[0].priority, 777U);
  EXPECT_EQ(run_for(0s).size(), 2U) << "the reply and the triggered check";
}

TEST_F(AgentTest, LaterLocalCandidateIsNotPairedWithAPrflx) {
  agent_.add_local(LocalAddress::host(host_), now_);
  receive(Request{}.bytes(), host_, peer_);
  agent_.add_local(LocalAddress::relayed(relayed_, Family::v4), now_);
  EXPECT_EQ(agent_.pair_count(), 1U);
}

TEST_F(AgentTest, SignalledCandidateReplacesThePrflxInPlace) {
  agent_.add_local(LocalAddress::host(host_), now_);
  agent_.add_local(LocalAddress::relayed(relayed_, Family::v4), now_);
  receive(Request{.use_candidate = true}.bytes(), host_, peer_);
  run_for(0s);
  ASSERT_TRUE(agent_.nominated());
  agent_.add_remote(relay_line("192.0.2.20:52625"), now_);
  ASSERT_EQ(agent_.remote_candidates().size(), 1U);
  EXPECT_EQ(agent_.remote_candidates()[0].kind, CandidateKind::relay);
  EXPECT_EQ(agent_.pair_count(), 2U) << "and it pairs with the other local candidates";
  ASSERT_TRUE(agent_.nominated());
  EXPECT_EQ(agent_.nominated()->remote, peer_);
  EXPECT_TRUE(agent_.nominated()->remote_relayed);
}

// Spec connectivity 9.2, case 9.
TEST_F(AgentTest, RequestFromAnInvalidatedCandidateIsIgnored) {
  agent_.add_local(LocalAddress::host(host_), now_);
  agent_.add_remote(relay_line("192.0.2.20:52625"), now_);
  agent_.invalidate_remote(relay_line("192.0.2.20:52625"), now_);
  run_for(0s);
  EXPECT_EQ(receive(Request{}.bytes(), host_, peer_), DropReason::unknown_stun);
  EXPECT_TRUE(drain().empty());
  EXPECT_EQ(agent_.pair_count(), 0U);
}

TEST_F(AgentTest, UseCandidateNominatesAtOnceAndItsCheckJumpsTheQueue) {
  agent_.add_local(LocalAddress::host(host_), now_);
  agent_.add_remote(host_line("192.0.2.20:52625"), now_);
  EXPECT_EQ(run_for(10ms).size(), 1U);
  receive(Request{.use_candidate = true}.bytes(), host_, peer_);
  ASSERT_TRUE(agent_.nominated());
  EXPECT_EQ(agent_.nominated()->local, host_);
  EXPECT_EQ(agent_.nominated()->remote, peer_);
  EXPECT_EQ(run_for(0s).size(), 2U) << "the reply and the check";
  receive(Request{.use_candidate = true}.bytes(), host_, peer_);
  EXPECT_EQ(run_for(0s).size(), 1U) << "only the reply when it is nominated already";
  EXPECT_EQ(seen<Nominated>().size(), 1U);
}

// Spec connectivity 9.2, case 14.
TEST_F(AgentTest, OfTwoNominatedPairsTheHigherPriorityCounts) {
  agent_.add_local(LocalAddress::host(host_), now_);
  agent_.add_local(LocalAddress::relayed(relayed_, Family::v4), now_);
  agent_.add_remote(host_line("192.0.2.20:52625"), now_);
  receive(Request{.use_candidate = true}.bytes(), host_, peer_);
  receive(Request{.use_candidate = true}.bytes(), relayed_, peer_);
  EXPECT_EQ(agent_.nominated()->local, host_);
  run_for(0s);
  EXPECT_EQ(seen<Nominated>().size(), 1U);
}

TEST_F(AgentTest, ControllingAgentDropsUseCandidate) {
  auto options = gateway_options();
  options.role = Role::controlling;
  Agent agent{std::move(options), random_, now_};
  agent.add_local(LocalAddress::host(host_), now_);
  const auto bytes = Request{.use_candidate = true, .claims_controlled = true}.bytes();
  EXPECT_EQ(agent.on_message(*stun::Message::parse(bytes), host_, peer_, now_),
            DropReason::unknown_stun);
  EXPECT_FALSE(agent.poll_transmit());
}

// Spec connectivity 9.2, case 20.
TEST_F(AgentTest, WeakerPeerThatClaimsOurRoleIsToldToGiveIn) {
  agent_.add_local(LocalAddress::host(host_), now_);
  EXPECT_EQ(receive(Request{.claims_controlled = true, .tie_breaker = 0}.bytes(), host_, peer_),
            std::nullopt);
  const auto sent = drain();
  ASSERT_EQ(sent.size(), 1U);
  const auto reply = stun::Message::parse(sent[0].bytes);
  ASSERT_TRUE(reply);
  EXPECT_TRUE(reply->is(stun::Method::binding, stun::Class::error));
  ASSERT_TRUE(reply->error_code());
  EXPECT_EQ(reply->error_code()->code, 487);
  EXPECT_EQ(reply->error_code()->reason, "Role Conflict");
  EXPECT_TRUE(reply->verify_integrity(as_bytes("kvpwadif6734sdalah6lja")));
  EXPECT_TRUE(reply->has_fingerprint());
  EXPECT_EQ(agent_.role(), Role::controlled);
  EXPECT_EQ(agent_.pair_count(), 0U);
}

TEST_F(AgentTest, StrongerPeerThatClaimsOurRoleGetsIt) {
  agent_.add_local(LocalAddress::host(host_), now_);
  EXPECT_EQ(
      receive(Request{.claims_controlled = true, .tie_breaker = UINT64_MAX}.bytes(), host_, peer_),
      std::nullopt);
  EXPECT_EQ(agent_.role(), Role::controlling);
  const auto sent = drain();
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_TRUE(stun::Message::parse(sent[0].bytes)->is(stun::Method::binding, stun::Class::success));
}

// Spec connectivity 9.2, case 19.
TEST_F(AgentTest, ResponseNobodyAskedForIsIgnored) {
  agent_.add_local(LocalAddress::host(host_), now_);
  agent_.add_remote(host_line("192.0.2.20:52625"), now_);
  const auto sent = run_for(0s);
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(receive(success({9, 9, 9}, host_), host_, peer_), DropReason::unknown_stun);
  EXPECT_EQ(receive(success(*sent[0].transaction, host_, "wrong"), host_, peer_),
            DropReason::bad_stun_integrity);
  const auto conflict =
      Request{.type_class = stun::Class::error, .transaction = *sent[0].transaction}.bytes();
  EXPECT_EQ(receive(conflict, host_, peer_), DropReason::unknown_stun);
  const auto bare =
      Request{.type_class = stun::Class::success, .transaction = *sent[0].transaction}.bytes();
  EXPECT_EQ(receive(bare, host_, peer_), DropReason::malformed_stun) << "no mapped address";
  EXPECT_EQ(receive(success(*sent[0].transaction, host_), host_, at("192.0.2.99:1")), std::nullopt)
      << "the source of a response does not matter";
  EXPECT_EQ(receive(success(*sent[0].transaction, host_), host_, peer_), DropReason::unknown_stun)
      << "twice";
}

TEST_F(AgentTest, MappedAddressThatIsNewIsLearntButNeverSignalled) {
  agent_.add_local(LocalAddress::host(host_), now_);
  agent_.add_remote(host_line("192.0.2.20:52625"), now_);
  const auto sent = run_for(0s);
  receive(success(*sent[0].transaction, at("198.51.100.1:4000")), host_, peer_);
  EXPECT_EQ(agent_.local_candidates().size(), 1U);
  EXPECT_EQ(agent_.pair_count(), 1U);
  EXPECT_TRUE(
      agent_.add_local(LocalAddress::server_reflexive(at("198.51.100.1:4000"), host_), now_))
      << "a relay's confirmation is signalled all the same";
}

// Spec connectivity 9.2, case 1, as far as an agent sees it.
TEST_F(AgentTest, WithoutRemoteCredentialsNothingIsSentOrAnswered) {
  auto options = gateway_options();
  options.remote.reset();
  Agent agent{std::move(options), random_, now_};
  agent.add_local(LocalAddress::host(host_), now_);
  agent.add_remote(host_line("192.0.2.20:52625"), now_);
  agent.on_timeout(now_);
  EXPECT_FALSE(agent.poll_transmit());
  const auto bytes = Request{}.bytes();
  EXPECT_EQ(agent.on_message(*stun::Message::parse(bytes), host_, peer_, now_),
            DropReason::unknown_stun);
  agent.set_remote_credentials(client_credentials(), now_);
  EXPECT_EQ(agent.on_message(*stun::Message::parse(bytes), host_, peer_, now_), std::nullopt);
  agent.on_timeout(now_);
  EXPECT_TRUE(agent.poll_transmit());
  EXPECT_TRUE(agent.poll_transmit());
}

TEST_F(AgentTest, UsernameLongerThanALegacyPeerTakesIsNotSent) {
  auto options = gateway_options();
  options.remote->ufrag = std::string(128 - 5, 'x');
  Agent fits{options, random_, now_};
  options.remote->ufrag += 'x';
  Agent too_long{options, random_, now_};
  for (auto* agent : {&fits, &too_long}) {
    agent->add_local(LocalAddress::host(host_), now_);
    agent->add_remote(host_line("192.0.2.20:52625"), now_);
    agent->on_timeout(now_);
  }
  EXPECT_TRUE(fits.poll_transmit());
  EXPECT_FALSE(too_long.poll_transmit());
}

TEST_F(AgentTest, UndrainedTransmitsAreBounded) {
  agent_.add_local(LocalAddress::host(host_), now_);
  for (std::size_t i = 0; i < kTransmitsMax + 1; ++i) receive(Request{}.bytes(), host_, peer_);
  EXPECT_EQ(drain().size(), kTransmitsMax);
  EXPECT_EQ(agent_.overflows(), 1U);
}

}  // namespace
}  // namespace fg::ice::testing
