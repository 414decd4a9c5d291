#include "gateway/configuration.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

namespace fg::gateway {
namespace {

class Table final : public Environment {
 public:
  std::map<std::string, std::string> variables{{"FIREZONE_TOKEN", ".token"}};
  std::map<std::string, std::string> files;

  [[nodiscard]] std::optional<std::string> get(const std::string& key) const override {
    const auto found = variables.find(key);
    return found == variables.end() ? std::nullopt : std::optional{found->second};
  }
  [[nodiscard]] std::string host_name() const override { return "edge-host"; }
  [[nodiscard]] std::optional<std::string> read_file(const std::string& path) const override {
    const auto found = files.find(path);
    return found == files.end() ? std::nullopt : std::optional{found->second};
  }
};

Configuration accept(const Table& table, const std::vector<std::string>& arguments = {}) {
  auto parsed = parse_configuration(arguments, table);
  if (!parsed) {
    ADD_FAILURE() << parsed.error().text;
    return {};
  }
  return std::move(*parsed->configuration);
}

ConfigurationError refuse(const Table& table, const std::vector<std::string>& arguments = {}) {
  auto parsed = parse_configuration(arguments, table);
  if (parsed) {
    ADD_FAILURE() << "accepted";
    return {};
  }
  return parsed.error();
}

TEST(Configuration, NeedsNothingButAToken) {
  const auto configuration = accept({});
  EXPECT_EQ(configuration.url.host, "api.firezone.dev");
  EXPECT_TRUE(configuration.url.is_tls);
  EXPECT_EQ(configuration.name, "edge-host");
  EXPECT_EQ(configuration.token.expose(), ".token");
  EXPECT_FALSE(configuration.id);
  EXPECT_EQ(configuration.health_address.to_string(), "0.0.0.0:8080");
  EXPECT_EQ(configuration.partition_time_max, 24h);
  EXPECT_EQ(configuration.log_filter, "info");
  EXPECT_EQ(configuration.tun_name, "tun-firezone");
  EXPECT_TRUE(configuration.masquerade);
}

TEST(Configuration, FlagsWinOverTheEnvironment) {
  Table table;
  table.variables["FIREZONE_API_URL"] = "wss://one.test";
  table.variables["FIREZONE_NAME"] = "one";
  const auto configuration = accept(table, {"--api-url", "ws://two.test:8081/base/", "-n", "two",
                                            "-i", "edge-gw-1", ".argument"});
  EXPECT_EQ(configuration.url.host, "two.test");
  EXPECT_EQ(configuration.url.port, 8081);
  EXPECT_EQ(configuration.name, "two");
  EXPECT_EQ(configuration.id, "edge-gw-1");
  EXPECT_EQ(configuration.token.expose(), ".argument");
}

TEST(Configuration, TheControlSocketIsWhereSystemdOrTheOperatorWantsItOrNowhere) {
  Table table;
  EXPECT_EQ(accept(table).control_socket, "/run/firegate/control.sock");
  table.variables["RUNTIME_DIRECTORY"] = "/run/gate-2:/run/other";
  EXPECT_EQ(accept(table).control_socket, "/run/gate-2/control.sock");
  table.variables["FIREGATE_CONTROL_SOCKET"] = "/tmp/x.sock";
  EXPECT_EQ(accept(table).control_socket, "/tmp/x.sock");
  EXPECT_EQ(accept(table, {"--control-socket", "off"}).control_socket, "");
  EXPECT_EQ(accept(table, {"--control-socket", "/" + std::string(106, 'x')}).control_socket.size(),
            107U);
  for (const auto& bad :
       {std::string{"x.sock"}, "/" + std::string(107, 'x'), std::string{"/a\n"}}) {
    table.variables["FIREGATE_CONTROL_SOCKET"] = bad;
    const auto error = refuse(table);
    EXPECT_EQ(error.exit_code, 2);
    EXPECT_NE(error.text.find("FIREGATE_CONTROL_SOCKET='"), std::string::npos);
    EXPECT_NE(error.text.find("/run/firegate/control.sock"), std::string::npos);
  }
}

TEST(Configuration, SourcesArePreservedTowardsTheListedNetworks) {
  Table table;
  EXPECT_TRUE(accept(table).preserved_sources.empty());
  table.variables["FIREGATE_PRESERVE_SOURCE"] = " 10.20.0.0/16, fd20::/64 ,192.0.2.7,";
  const auto networks = accept(table).preserved_sources;
  ASSERT_EQ(networks.size(), 3U);
  EXPECT_EQ(networks[0].to_string(), "10.20.0.0/16");
  EXPECT_EQ(networks[1].to_string(), "fd20::/64");
  EXPECT_EQ(networks[2].to_string(), "192.0.2.7/32");
  std::string many;
  for (int i = 0; i < 257; ++i)
    many += "10." + std::to_string(i / 256) + "." + std::to_string(i % 256) + ".0/24,";
  for (const auto& [bad, says] : std::initializer_list<std::pair<std::string, const char*>>{
           {"10.20.0.1/16", "'10.20.0.1/16'"},
           {"10.20.0.0/33", "'10.20.0.0/33'"},
           {"10.20.0.0/16;fd20::/64", "'10.20.0.0/16;fd20::/64'"},
           {"lan", "'lan'"},
           {many, "more than 256"}}) {
    table.variables["FIREGATE_PRESERVE_SOURCE"] = bad;
    const auto error = refuse(table);
    EXPECT_EQ(error.exit_code, 2);
    EXPECT_NE(error.text.find("FIREGATE_PRESERVE_SOURCE has "), std::string::npos) << error.text;
    EXPECT_NE(error.text.find(says), std::string::npos) << error.text;
  }
}

TEST(Configuration, TheProxyIsTheOneOfThePortalsSchemeThenTheCommonOne) {
  Table table;
  table.variables["http_proxy"] = "http://plain.test:1";
  table.variables["HTTPS_PROXY"] = "http://upper.test:2";
  EXPECT_EQ(accept(table).proxy->host, "upper.test");
  table.variables["https_proxy"] = "lower.test:3";
  EXPECT_EQ(accept(table).proxy->host, "lower.test");
  table.variables["FIREZONE_API_URL"] = "ws://portal.test";
  EXPECT_EQ(accept(table).proxy->host, "plain.test");
  table.variables["http_proxy"] = "";
  EXPECT_FALSE(accept(table).proxy);
  table.variables["ALL_PROXY"] = "http://u:p@common.test:4";
  EXPECT_EQ(accept(table).proxy->port, 4);
  EXPECT_TRUE(accept(table).proxy->authorization);
  table.variables["no_proxy"] = "other.test,.portal.test:80";
  EXPECT_FALSE(accept(table).proxy);
}

TEST(Configuration, AProxyThatCannotBeUsedIsNamedWithoutItsPassword) {
  for (const auto* value : {"socks5://user:hunter2@proxy.test:1080", "http://user:hunter2@:x"}) {
    Table table;
    table.variables["all_proxy"] = value;
    const auto error = refuse(table);
    EXPECT_EQ(error.exit_code, 1);
    EXPECT_NE(error.text.find("all_proxy"), std::string::npos);
    EXPECT_NE(error.text.find("set http://"), std::string::npos);
    EXPECT_EQ(error.text.find("hunter2"), std::string::npos);
    table.variables["no_proxy"] = "firezone.dev";
    EXPECT_FALSE(accept(table).proxy);
  }
}

TEST(Configuration, TheTokenComesFromArgumentEnvironmentFileOrCredential) {
  Table table;
  table.variables["FIREZONE_TOKEN"] = "/run/token";
  table.files["/run/token"] = " .from a\tfile\n";
  EXPECT_EQ(accept(table).token.expose(), ".fromafile") << "all white space is removed";
  table.variables.erase("FIREZONE_TOKEN");
  table.variables["CREDENTIALS_DIRECTORY"] = "/run/credentials";
  table.files["/run/credentials/FIREZONE_TOKEN"] = ".credential\n";
  EXPECT_EQ(accept(table).token.expose(), ".credential");
}

TEST(Configuration, AMissingOrMalformedTokenIsOneLineWithTheMendAndWithoutTheValue) {
  Table table;
  table.variables.clear();
  auto error = refuse(table);
  EXPECT_EQ(error.exit_code, 1);
  EXPECT_NE(error.text.find("FIREZONE_TOKEN is missing"), std::string::npos);
  EXPECT_NE(error.text.find("CREDENTIALS_DIRECTORY"), std::string::npos);
  for (const auto* token : {"", "  \n", "sec\x01ret",
                            "s\xC3\xA9"
                            "cret"}) {
    table.variables["FIREZONE_TOKEN"] = token;
    error = refuse(table);
    EXPECT_EQ(error.text.find('\n'), std::string::npos);
    EXPECT_EQ(error.text.find("cret"), std::string::npos) << "the value must not show";
    EXPECT_NE(error.text.find("set FIREZONE_TOKEN"), std::string::npos);
  }
  table.variables["FIREZONE_TOKEN"] = "/nowhere";
  EXPECT_NE(refuse(table).text.find("/nowhere"), std::string::npos);
}

TEST(Configuration, TheBackendIsAutomaticUnlessAsked) {
  Table table;
  EXPECT_EQ(accept(table).backend, BackendChoice::automatic);
  EXPECT_TRUE(accept(table).xdp_interfaces.empty());
  table.variables["FIREGATE_BACKEND"] = "xdp";
  table.variables["FIREGATE_XDP_INTERFACES"] = "eth0,wan.7";
  table.variables["FIREGATE_XDP_BUSY_POLL"] = "50";
  EXPECT_EQ(accept(table).backend, BackendChoice::xdp);
  EXPECT_EQ(accept(table).xdp_interfaces, (std::vector<std::string>{"eth0", "wan.7"}));
  EXPECT_EQ(accept(table).xdp_busy_poll, 50U);
  table.variables["FIREGATE_BACKEND"] = "kernel";
  EXPECT_EQ(accept(table).backend, BackendChoice::kernel);
  table.variables["FIREGATE_BACKEND"] = "auto";
  EXPECT_EQ(accept(table).backend, BackendChoice::automatic);
}

TEST(Configuration, WorkersFloatAndSleepUnlessAsked) {
  Table table;
  EXPECT_FALSE(accept(table).pin_workers);
  EXPECT_EQ(accept(table).spin, std::nullopt);
  table.variables["FIREGATE_PIN_WORKERS"] = "true";
  table.variables["FIREGATE_SPIN"] = "1000000";
  EXPECT_TRUE(accept(table).pin_workers);
  EXPECT_EQ(accept(table).spin, 1'000'000U);
}

TEST(Configuration, SendingByAfXdpIsMeasuredUnlessDecided) {
  Table table;
  EXPECT_EQ(accept(table).xdp_send, XdpSendChoice::automatic);
  for (const auto& [value, choice] : {std::pair{"on", XdpSendChoice::on},
                                      {"off", XdpSendChoice::off},
                                      {"auto", XdpSendChoice::automatic}}) {
    table.variables["FIREGATE_XDP_SEND"] = value;
    EXPECT_EQ(accept(table).xdp_send, choice) << value;
  }
}

TEST(Configuration, TrackingIsLeftToWhatTheHostNeedsUnlessAsked) {
  Table table;
  EXPECT_EQ(accept(table).untracked, UntrackedChoice::automatic);
  table.variables["FIREGATE_UNTRACKED"] = "on";
  EXPECT_EQ(accept(table).untracked, UntrackedChoice::on);
  table.variables["FIREGATE_UNTRACKED"] = "auto";
  EXPECT_EQ(accept(table).untracked, UntrackedChoice::automatic);
  EXPECT_EQ(accept(table, {"--untracked", "off"}).untracked, UntrackedChoice::off);
}

TEST(Configuration, WhatIsSecretInAPortalsAddressIsNotRepeated) {
  for (const auto* secret :
       {"ftp://user:hunter2@portal.test", "user:hunter2@portal.test:x",
        "ftp://user:hun@ter2@portal.test", "ftp://portal.test/?token=hunter2"}) {
    Table table;
    table.variables["FIREZONE_API_URL"] = secret;
    const auto text = refuse(table).text;
    EXPECT_EQ(text.find("ter2"), std::string::npos) << text;
    EXPECT_NE(text.find("portal.test"), std::string::npos) << text;
  }
}

struct BadValue {
  const char* key;
  const char* value;
  int exit_code;
};

TEST(Configuration, EveryBadValueNamesItsKeyAndTheMendInOneLine) {
  for (const auto& bad : std::initializer_list<BadValue>{
           {"FIREZONE_API_URL", "ftp://portal.test", 1},
           {"FIREZONE_API_URL", "not a url", 2},
           {"FIREZONE_ID", "a\nb", 1},
           {"FIREZONE_NAME", "a\x7F", 1},
           {"FIREGATE_TUN_NAME", "a-name-that-is-too-long", 1},
           {"FIREGATE_TUN_NAME", "a/b", 1},
           {"FIREGATE_TUN_NAME", "", 1},
           {"FIREGATE_TUN_NAME", "a\"b", 1},
           {"FIREZONE_METRICS", "prometheus", 2},
           {"FIREZONE_VALIDATE_CHECKSUMS", "yes", 2},
           {"FIREZONE_UDP_RECV_BUFFER_SIZE", "-1", 2},
           {"HEALTH_CHECK_ADDR", "8080", 2},
           {"FIREZONE_LOG_FORMAT", "xml", 2},
           {"FIREZONE_MAX_PARTITION_TIME", "soon", 2},
           {"FIREZONE_NO_TELEMETRY", "1", 2},
           {"FIREZONE_NO_INC_BUF", "True", 2},
           {"FIREZONE_FLOW_LOGS", "", 2},
           {"FIREGATE_BACKEND", "dpdk", 2},
           {"FIREGATE_BACKEND", "", 2},
           {"FIREGATE_XDP_INTERFACES", "eth0,,eth1", 2},
           {"FIREGATE_XDP_INTERFACES", "eth0;reboot", 2},
           {"FIREGATE_XDP_INTERFACES", "a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q", 2},
           {"FIREGATE_XDP_BUSY_POLL", "1001", 2},
           {"FIREGATE_PIN_WORKERS", "1", 2},
           {"FIREGATE_SPIN", "0", 2},
           {"FIREGATE_SPIN", "1000001", 2},
           {"FIREGATE_XDP_SEND", "yes", 2},
           {"FIREGATE_XDP_SEND", "", 2},
           {"FIREGATE_WORKERS", "0", 2},
           {"FIREGATE_WORKERS", "17", 2},
           {"FIREGATE_PORTAL_GENERATION", "D", 2},
           {"FIREGATE_REPORTED_VERSION", "1.6", 2},
           {"FIREGATE_MASQUERADE", "maybe", 2},
           {"FIREGATE_UNTRACKED", "true", 2},
           {"FIREGATE_UNTRACKED", "", 2},
           {"FIREGATE_AEAD", "rot13", 2},
           {"FIREZONE_UDP_SEND_BUFFER_SIZE", "many", 2}}) {
    Table table;
    table.variables[bad.key] = bad.value;
    const auto error = refuse(table);
    EXPECT_EQ(error.exit_code, bad.exit_code) << bad.key << '=' << bad.value;
    EXPECT_NE(error.text.find(bad.key), std::string::npos) << error.text;
    EXPECT_EQ(error.text.find('\n'), std::string::npos) << error.text;
    EXPECT_NE(error.text.find(": "), std::string::npos) << error.text;
  }
}

TEST(Configuration, ALongIdIsRefusedAtTheLimitPlusOne) {
  Table table;
  table.variables["FIREZONE_ID"] = std::string(255, 'a');
  EXPECT_EQ(accept(table).id->size(), 255U);
  table.variables["FIREZONE_ID"] = std::string(256, 'a');
  EXPECT_NE(refuse(table).text.find("FIREZONE_ID"), std::string::npos);
}

TEST(Configuration, ANameIsMeasuredInCharacters) {
  Table table;
  std::string name;
  for (int i = 0; i < 255; ++i) name += "\u6771";
  table.variables["FIREZONE_NAME"] = name;
  EXPECT_EQ(accept(table).name, name);
  table.variables["FIREZONE_NAME"] = name + "x";
  EXPECT_NE(refuse(table).text.find("FIREZONE_NAME"), std::string::npos);
}

TEST(Configuration, EverySettingOfTheOriginalIsAcceptedAsAFlagAndAsAVariable) {
  const auto by_flag = accept(Table{}, {"-u",
                                        "ws://portal.test",
                                        "-n",
                                        "name",
                                        "-i",
                                        "id",
                                        "--health-check-addr",
                                        "127.0.0.1:1",
                                        "--no-telemetry",
                                        "--no-check",
                                        "--log-format",
                                        "json",
                                        "--flow-logs",
                                        "--metrics",
                                        "otel-collector",
                                        "--otlp-grpc-endpoint",
                                        "127.0.0.1:4317",
                                        "--validate-checksums",
                                        "--no-inc-buf",
                                        "-m",
                                        "30m",
                                        ".token"});
  Table table;
  table.variables = {{"FIREZONE_API_URL", "ws://portal.test"},
                     {"FIREZONE_TOKEN", ".token"},
                     {"FIREZONE_NAME", "name"},
                     {"FIREZONE_ID", "id"},
                     {"HEALTH_CHECK_ADDR", "127.0.0.1:1"},
                     {"FIREZONE_NO_TELEMETRY", "true"},
                     {"FIREZONE_LOG_FORMAT", "json"},
                     {"FIREZONE_FLOW_LOGS", "true"},
                     {"FIREZONE_METRICS", "otel-collector"},
                     {"OTLP_GRPC_ENDPOINT", "127.0.0.1:4317"},
                     {"FIREZONE_VALIDATE_CHECKSUMS", "true"},
                     {"FIREZONE_NO_INC_BUF", "true"},
                     {"FIREZONE_MAX_PARTITION_TIME", "30m"},
                     {"FIREZONE_UDP_SEND_BUFFER_SIZE", "65536"},
                     {"FIREZONE_UDP_RECV_BUFFER_SIZE", "131072"},
                     {"OTEL_RESOURCE_ATTRIBUTES", "a=b"},
                     {"FZFF_STREAM_METRICS", "true"}};
  const auto by_variable = accept(table);
  for (const auto& c : {&by_flag, &by_variable}) {
    EXPECT_EQ(c->url.host, "portal.test");
    EXPECT_EQ(c->name, "name");
    EXPECT_EQ(c->id, "id");
    EXPECT_EQ(c->health_address.port, 1);
    EXPECT_TRUE(c->log_json);
    EXPECT_FALSE(c->increase_buffers);
    EXPECT_EQ(c->partition_time_max, 30min);
    EXPECT_EQ(c->token.expose(), ".token");
  }
  EXPECT_FALSE(by_flag.check_host);
  EXPECT_EQ(by_variable.udp_send_buffer, 65536U);
  EXPECT_EQ(by_variable.udp_receive_buffer, 131072U);
  const auto says = [](const Configuration& c, const char* words) {
    return std::ranges::any_of(
        c.notices, [&](const auto& notice) { return notice.find(words) != std::string::npos; });
  };
  EXPECT_TRUE(says(by_flag, "FIREZONE_TOKEN=/path")) << "others could see that token";
  EXPECT_FALSE(says(by_variable, "FIREZONE_TOKEN"));
}

TEST(Configuration, FlowLogsGoToTheLogAndToAFileOfTheirOwn) {
  Table table;
  table.variables["FIREZONE_TOKEN"] = ".token";
  EXPECT_FALSE(accept(table).flow_logs);
  EXPECT_EQ(accept(table).log_filter, "info");
  table.variables["FIREZONE_FLOW_LOGS"] = "true";
  table.variables["RUST_LOG"] = "warn";
  table.variables["FIREGATE_FLOW_LOG_FILE"] = "/var/log/flows.json";
  const auto on = accept(table);
  EXPECT_TRUE(on.flow_logs);
  EXPECT_EQ(on.log_filter, "warn,flow_logs=trace");
  EXPECT_EQ(on.flow_log_file, "/var/log/flows.json");
  for (const auto* path : {"flows.json", "/var/log/", "/a\nb"}) {
    table.variables["FIREGATE_FLOW_LOG_FILE"] = path;
    const auto error = refuse(table);
    EXPECT_EQ(error.exit_code, 2);
    EXPECT_NE(error.text.find("FIREGATE_FLOW_LOG_FILE"), std::string::npos);
  }
}

TEST(Configuration, UploadsOfFlowRecordsHaveTheProxyOfHttpsWhateverThePortals) {
  Table table;
  table.variables = {{"FIREZONE_TOKEN", ".token"},
                     {"FIREZONE_API_URL", "ws://portal.test"},
                     {"https_proxy", "http://proxy.test:3128"},
                     {"no_proxy", "direct.test"}};
  const auto on = accept(table);
  EXPECT_FALSE(on.proxy);
  ASSERT_TRUE(on.upload_proxy);
  EXPECT_EQ(on.upload_proxy->host, "proxy.test");
  EXPECT_EQ(on.no_proxy, "direct.test");
  table.variables["https_proxy"] = "socks5://proxy.test";
  EXPECT_FALSE(accept(table).upload_proxy);
}

TEST(Configuration, UnknownFlagsAreCommandLineErrors) {
  EXPECT_EQ(refuse({}, {"--no-such-flag"}).exit_code, 2);
}

TEST(Configuration, HelpAndVersionExitEarly) {
  for (const auto* flag : {"--help", "--version"}) {
    auto parsed = parse_configuration({flag}, Table{});
    ASSERT_TRUE(parsed);
    ASSERT_TRUE(parsed->early_exit) << flag;
    EXPECT_FALSE(parsed->early_exit->text.empty());
  }
}

TEST(Configuration, SettingsOfThePastAreNoticed) {
  Table table;
  table.variables["FIREZONE_NUM_TUN_THREADS"] = "2";
  ASSERT_EQ(accept(table).notices.size(), 1U);
  table.variables["FIREZONE_ENABLE_MASQUERADE"] = "1";
  ASSERT_EQ(accept(table).notices.size(), 2U);
}

}  // namespace
}  // namespace fg::gateway
