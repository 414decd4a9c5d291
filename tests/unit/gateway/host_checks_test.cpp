#include "gateway/host_checks.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <filesystem>
#include <fstream>

namespace fg::gateway {
namespace {

class Proc : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern =
        (std::filesystem::temp_directory_path() / "firegate-proc-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    root = pattern;
    write("self/status", "Name:\tx\nCapEff:\t0000000000001000\n");
    write("sys/net/ipv4/ip_forward", "1\n");
    write("sys/net/ipv6/conf/all/disable_ipv6", "0\n");
    write("sys/net/ipv6/conf/all/forwarding", "1\n");
    write("sys/net/core/rmem_max", "212992\n");
    write("sys/net/core/wmem_max", "99999999\n");
  }
  void TearDown() override { std::filesystem::remove_all(root); }
  void write(const std::string& name, const std::string& content) {
    const auto path = root / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream{path} << content;
  }
  [[nodiscard]] std::string read(const std::string& name) const {
    std::string line;
    std::ifstream in{root / name};
    std::getline(in, line);
    return line;
  }
  [[nodiscard]] Verdict verdict() const { return judge(read_host_facts(root.string())); }
  std::filesystem::path root;
};

TEST_F(Proc, AHostThatForwardsAndLetsUsPasses) {
  EXPECT_FALSE(verdict().error);
  EXPECT_TRUE(verdict().warnings.empty());
}

TEST_F(Proc, AMissingCapabilityIsNamedWithItsMend) {
  write("self/status", "CapEff:\t0000000000000000\n");
  ASSERT_TRUE(verdict().error);
  EXPECT_NE(verdict().error->find("CAP_NET_ADMIN"), std::string::npos);
}

TEST_F(Proc, ForwardingSwitchedOffIsAnErrorWithTheCommandThatMendsIt) {
  write("sys/net/ipv4/ip_forward", "0\n");
  ASSERT_TRUE(verdict().error);
  EXPECT_NE(verdict().error->find("sysctl -w net.ipv4.ip_forward=1"), std::string::npos);
}

TEST_F(Proc, MissingIpv6ForwardingIsAWarningUnlessTheHostHasNoIpv6) {
  write("sys/net/ipv6/conf/all/forwarding", "0\n");
  ASSERT_EQ(verdict().warnings.size(), 1U);
  EXPECT_NE(verdict().warnings[0].find("sysctl -w net.ipv6.conf.all.forwarding=1"),
            std::string::npos);
  write("sys/net/ipv6/conf/all/disable_ipv6", "1\n");
  EXPECT_TRUE(verdict().warnings.empty());
}

TEST_F(Proc, ForwardingIsSetOnRequest) {
  write("sys/net/ipv4/ip_forward", "0\n");
  write("sys/net/ipv6/conf/all/forwarding", "0\n");
  ASSERT_TRUE(set_forwarding(root.string()));
  EXPECT_EQ(read("sys/net/ipv4/ip_forward"), "1");
  EXPECT_EQ(read("sys/net/ipv6/conf/all/forwarding"), "1");
  std::filesystem::remove_all(root / "sys");
  EXPECT_FALSE(set_forwarding(root.string()));
}

TEST(Describe, EveryRefusalNamesItsMend) {
  struct Case {
    SysError error;
    const char* mend;
  };
  for (const auto& c :
       std::initializer_list<Case>{{{"open /dev/net/tun", EACCES}, "chmod 0666 /dev/net/tun"},
                                   {{"open /dev/net/tun", ENODEV}, "modprobe tun"},
                                   {{"create /dev/net/tun", EPERM}, "CAP_NET_ADMIN"},
                                   {{"attach to the TUN device", EPERM}, "CAP_NET_ADMIN"},
                                   {{"attach to the TUN device", EBUSY}, "stop the other gateway"},
                                   {{"attach to the TUN device", EINVAL}, "ip link delete tun-x"},
                                   {{"bind udp v4", EADDRNOTAVAIL}, "check"},
                                   {{"open /dev/net/tun", EMFILE}, "LimitNOFILE"},
                                   {{"open udp v4", EMFILE}, "LimitNOFILE"}}) {
    const auto text = describe(c.error, "tun-x");
    EXPECT_NE(text.find(c.mend), std::string::npos) << text;
    EXPECT_NE(text.find(c.error.to_string()), std::string::npos) << text;
  }
}

struct Lines final : LogSink {
  [[nodiscard]] bool is_enabled(LogLevel, std::string_view) const override { return true; }
  void write(LogLevel, std::string_view, std::string_view message,
             std::span<const LogField> fields) override {
    text += message;
    for (const auto& field : fields) text += " " + field.key + "=" + field.value;
    text += "\n";
  }
  std::string text;
};

TEST(Report, RefusedSteeringOfTunQueuesIsOneLineAndNoError) {
  Lines lines;
  io::kernel::Capabilities capabilities;
  capabilities.tun.steering = true;
  ASSERT_TRUE(report(capabilities, 0, Log{lines, "gateway"}));
  EXPECT_NE(lines.text.find("steering=true"), std::string::npos) << lines.text;
  EXPECT_EQ(lines.text.find("CAP_BPF"), std::string::npos) << lines.text;

  capabilities.tun.steering = false;
  capabilities.tun.steering_error = SysError{"load the program that steers TUN queues", EPERM};
  ASSERT_TRUE(report(capabilities, 0, Log{lines, "gateway"}));
  EXPECT_NE(lines.text.find("CAP_BPF reason=load the program"), std::string::npos) << lines.text;
}

TEST_F(Proc, BufferLimitsAreRaisedButNeverLowered) {
  const auto lines = raise_buffer_limits(16U << 20, 2U << 20, root.string());
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_EQ(lines[0], "Set `core.rmem_max` to 16777216");
  EXPECT_EQ(read("sys/net/core/rmem_max"), "16777216");
  EXPECT_EQ(read("sys/net/core/wmem_max"), "99999999");
}

}  // namespace
}  // namespace fg::gateway
