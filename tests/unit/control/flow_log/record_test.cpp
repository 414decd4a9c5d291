#include "control/flow_log/record.h"

#include <gtest/gtest.h>

#include "tests/unit/control/flow_log/samples.h"

namespace fg::flow_log {
namespace {

using nlohmann::json;

std::string names_of(const Event& event) {
  std::string out;
  for (const auto& field : event.fields) out += field.key + " ";
  return out;
}
std::string value_of(const Event& event, std::string_view key) {
  for (const auto& field : event.fields) {
    if (field.key == key) return field.value;
  }
  return "(absent)";
}

TEST(FlowRecord, TimesAreUtcWithNanoseconds) {
  EXPECT_EQ(format_rfc3339(test::kStart), "2026-09-21T14:13:20.000000007Z");
  EXPECT_EQ(format_rfc3339(WallTime{}), "1970-01-01T00:00:00.000000000Z");
}

TEST(FlowRecord, AnOpenPayloadHasNoKeyOfCompletion) {
  EXPECT_EQ(
      ingest_payload(test::record()),
      R"({"flow_start":"2026-09-21T14:13:20.000000007Z","inner_dst_ip":"10.20.0.5","inner_dst_port":443,)"
      R"("inner_src_ip":"100.80.3.17","inner_src_port":40000,"outers":[{"dst_ip":"198.51.100.2",)"
      R"("dst_port":52625,"path_activated_at":"2026-09-21T14:13:20.000000007Z","src_ip":"203.0.113.7",)"
      R"("src_port":51820}],"protocol":"tcp"})");
}

TEST(FlowRecord, ACompletedPayloadOfANameHasAllKeys) {
  auto record = test::completed(test::record(flow::Protocol::udp));
  record.domain = "db.example.com";
  const auto payload = json::parse(ingest_payload(record));
  EXPECT_EQ(payload["protocol"], "udp");
  EXPECT_EQ(payload["domain"], "db.example.com");
  EXPECT_EQ(payload["flow_end"], "2026-09-21T14:13:22.000000007Z");
  EXPECT_EQ(payload["last_packet"], "2026-09-21T14:13:21.000000007Z");
  EXPECT_EQ(payload["rx_packets"], 3);
  EXPECT_EQ(payload["tx_packets"], 4);
  EXPECT_EQ(payload["rx_bytes"], 1000);
  EXPECT_EQ(payload["tx_bytes"], 200);
  EXPECT_EQ(payload.size(), 14U);
}

TEST(FlowRecord, NamesAllPathsOfAFlowThatRoamed) {
  auto record = test::completed(test::record());
  record.outers.push_back(
      {{{test::ip("2001:db8::7"), 1}, {test::ip("2001:db8::1"), 2}}, test::kStart + 1s});
  const auto outers = json::parse(ingest_payload(record))["outers"];
  ASSERT_EQ(outers.size(), 2U);
  EXPECT_EQ(outers[1]["src_ip"], "2001:db8::7");
  EXPECT_EQ(outers[1]["path_activated_at"], "2026-09-21T14:13:21.000000007Z");
}

TEST(FlowRecord, TheEventOfGenerationCHasItsFieldsInOrderAndNoToken) {
  const auto record = test::completed(test::record());
  const auto event = event_of(record);
  ASSERT_TRUE(event);
  EXPECT_EQ(event->target, "flow_logs");
  EXPECT_EQ(event->message, "TCP flow completed");
  EXPECT_EQ(
      names_of(*event),
      "protocol role initiator_device_id responder_device_id policy_authorization_id policy_id "
      "resource_id resource_name initiator_actor_id initiator_actor_name authorized_at "
      "authorization_expires_at inner_src_ip inner_src_port inner_dst_ip inner_dst_port outers "
      "flow_start flow_end last_packet rx_packets tx_packets rx_bytes tx_bytes ");
  EXPECT_EQ(json::parse(value_of(*event, "outers"))[0]["dst_port"], 52625);
  const auto& token = std::get<Ingest>(*record.whose).token.expose();
  for (const auto& field : event->fields) EXPECT_EQ(field.value.find(token), std::string::npos);
  EXPECT_EQ(line_of(record, *event).find(token), std::string::npos);
}

TEST(FlowRecord, TheEventOfAnOpenFlowIsCalledStarted) {
  EXPECT_EQ(event_of(test::record())->message, "TCP flow started");
  EXPECT_EQ(event_of(test::record(flow::Protocol::udp))->message, "UDP flow started");
  EXPECT_EQ(value_of(*event_of(test::record()), "flow_end"), "(absent)");
}

TEST(FlowRecord, OptionalClaimsAreFieldsOnlyWhenTheTokenHasThem) {
  auto claims = test::claims();
  claims["resource_address"] = "10.20.0.0/16";
  claims["initiator_device_os_name"] = "Debian";
  auto record = test::record();
  record.whose = test::ingest(claims);
  record.domain = "x.example";
  const auto event = event_of(record);
  EXPECT_EQ(value_of(*event, "resource_address"), "10.20.0.0/16");
  EXPECT_EQ(value_of(*event, "initiator_device_os_name"), "Debian");
  EXPECT_EQ(value_of(*event, "domain"), "x.example");
}

std::shared_ptr<const Attribution> known(portal::Resource::Type type) {
  Known out;
  out.client = ClientId{{1}};
  out.facts.actor_name = "Lab User";
  out.facts.device_os_name = "Debian";
  out.resource.type = type;
  out.resource.name = "lab";
  out.resource.network = *Cidr::parse("10.20.0.0/16", true);
  return std::make_shared<Attribution>(out);
}

TEST(FlowRecord, GenerationBTellsOfCompletedFlowsOnly) {
  auto record = test::record();
  record.whose = known(portal::Resource::Type::cidr);
  EXPECT_FALSE(event_of(record));
  record.domain = "x.example";
  const auto event = event_of(test::completed(record));
  ASSERT_TRUE(event);
  EXPECT_EQ(event->target, "flow_logs::tcp");
  EXPECT_EQ(
      names_of(*event),
      "client_id device_os_name actor_name resource_id resource_name resource_address start end "
      "last_packet inner_src_ip inner_src_port inner_dst_ip inner_dst_port inner_domain "
      "outer_src_ip outer_src_port outer_dst_ip outer_dst_port rx_packets tx_packets rx_bytes "
      "tx_bytes ");
  EXPECT_EQ(value_of(*event, "resource_address"), "10.20.0.0/16");
  EXPECT_EQ(value_of(*event, "outer_src_port"), "51820");
}

TEST(FlowRecord, TheInternetResourceHasANameAndAnAddressOfTheFamily) {
  auto record = test::completed(test::record(flow::Protocol::udp));
  record.whose = known(portal::Resource::Type::internet);
  auto event = event_of(record);
  EXPECT_EQ(event->target, "flow_logs::udp");
  EXPECT_EQ(value_of(*event, "resource_name"), "Internet");
  EXPECT_EQ(value_of(*event, "resource_address"), "0.0.0.0/0");
  record.key.remote = test::ip("2001:db8::1");
  EXPECT_EQ(value_of(*event_of(record), "resource_address"), "::/0");
}

TEST(FlowRecord, ALineIsOneObjectWithNumbersAndLists) {
  const auto record = test::completed(test::record());
  const auto line = line_of(record, *event_of(record));
  ASSERT_EQ(line.find('\n'), line.size() - 1);
  const auto object = json::parse(line);
  EXPECT_EQ(object["message"], "TCP flow completed");
  EXPECT_EQ(object["rx_bytes"], 1000);
  EXPECT_TRUE(object["outers"].is_array());
}

}  // namespace
}  // namespace fg::flow_log
