#include "control/net/control_socket.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

namespace fg::net {
namespace {

constexpr std::size_t kLineMax = 64;

int connect_to(const std::string& path) {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, path.size());
  EXPECT_EQ(::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  return fd;
}

std::string read_all(int fd) {
  std::string out;
  std::array<char, 512> buffer{};
  for (ssize_t n = 0; (n = ::read(fd, buffer.data(), buffer.size())) > 0;)
    out.append(buffer.data(), static_cast<std::size_t>(n));
  return out;
}

void say(int fd, const std::string& text) {
  (void)::send(fd, text.data(), text.size(), MSG_NOSIGNAL);
}

mode_t mode_of(const std::string& path) {
  struct stat status{};
  EXPECT_EQ(::lstat(path.c_str(), &status), 0) << path;
  return status.st_mode & 07777;
}

class ControlSocketTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::array<char, 32> name{"/tmp/fg-control-XXXXXX"};
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    top = name.data();
    path = top + "/own/control.sock";
    loop.on_turn([](Instant) {});
  }
  void TearDown() override {
    (void)::unlink(path.c_str());
    (void)::rmdir((top + "/own").c_str());
    EXPECT_EQ(::rmdir(top.c_str()), 0) << "something is left behind";
  }
  ControlSocket::Handler echo() {
    return
        [](const std::string& line, const ControlSocket::Reply& reply) { reply("<" + line + ">"); };
  }
  // What an asker gets while the loop runs here.
  template <class Ask>
  std::string while_running(Ask ask) {
    std::string out;
    std::thread asker{[&] {
      out = ask();
      loop.stop();
    }};
    loop.run();
    asker.join();
    return out;
  }
  std::string asked(const std::string& text) {
    return while_running([&] {
      const int fd = connect_to(path);
      say(fd, text);
      auto out = read_all(fd);
      ::close(fd);
      return out;
    });
  }

  std::string top;
  std::string path;
  Loop loop;
};

TEST_F(ControlSocketTest, ALineIsAnsweredByALineAndTheConnectionEnds) {
  ControlSocket socket{loop, kLineMax, echo()};
  ASSERT_TRUE(socket.listen(path));
  EXPECT_EQ(asked("status\nand more\n"), "<status>\n");
}

TEST_F(ControlSocketTest, OnlyTheOwnerMayConnectAndEnter) {
  ControlSocket socket{loop, kLineMax, echo()};
  ASSERT_TRUE(socket.listen(path));
  EXPECT_EQ(mode_of(path), 0600U);
  EXPECT_EQ(mode_of(top + "/own"), 0700U);
}

TEST_F(ControlSocketTest, TheFileGoesWithItsSocketAndAnothersStays) {
  {
    ControlSocket socket{loop, kLineMax, echo()};
    ASSERT_TRUE(socket.listen(path));
    EXPECT_TRUE(socket.is_in_place());
  }
  EXPECT_NE(::access(path.c_str(), F_OK), 0);
  {
    ControlSocket socket{loop, kLineMax, echo()};
    ASSERT_TRUE(socket.listen(path));
    ASSERT_EQ(::unlink(path.c_str()), 0);
    EXPECT_FALSE(socket.is_in_place());
    std::ofstream{path} << "of somebody else";
    EXPECT_FALSE(socket.is_in_place());
  }
  EXPECT_EQ(::access(path.c_str(), F_OK), 0);
}

TEST_F(ControlSocketTest, ASocketOfTheDeadIsReplaced) {
  ASSERT_EQ(::mkdir((top + "/own").c_str(), 0700), 0);
  const int dead = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, path.size());
  ASSERT_EQ(::bind(dead, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  ::close(dead);
  ControlSocket socket{loop, kLineMax, echo()};
  ASSERT_TRUE(socket.listen(path));
  EXPECT_EQ(asked("x\n"), "<x>\n");
}

TEST_F(ControlSocketTest, ASocketOfTheLivingIsNotTaken) {
  ControlSocket first{loop, kLineMax, echo()};
  ASSERT_TRUE(first.listen(path));
  ControlSocket second{loop, kLineMax, echo()};
  const auto refused = second.listen(path);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().error, EADDRINUSE);
  EXPECT_TRUE(first.is_in_place());
  EXPECT_EQ(asked("x\n"), "<x>\n");
}

TEST_F(ControlSocketTest, AFileThatIsNoSocketIsLeftAlone) {
  ASSERT_EQ(::mkdir((top + "/own").c_str(), 0700), 0);
  std::ofstream{path} << "precious";
  ControlSocket socket{loop, kLineMax, echo()};
  const auto refused = socket.listen(path);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().error, EEXIST);
  std::string content;
  std::ifstream{path} >> content;
  EXPECT_EQ(content, "precious");
}

TEST_F(ControlSocketTest, APathThatIsTooLongOrWithoutADirectoryIsRefused) {
  ControlSocket socket{loop, kLineMax, echo()};
  EXPECT_EQ(socket.listen("/" + std::string(107, 'x')).error().error, ENAMETOOLONG);
  EXPECT_EQ(socket.listen("").error().error, ENAMETOOLONG);
  EXPECT_EQ(socket.listen(top + "/no/such/control.sock").error().error, ENOENT);
}

TEST_F(ControlSocketTest, ALineOverTheLimitIsCutOffAndOneAtItIsNot) {
  ControlSocket socket{loop, kLineMax, echo()};
  ASSERT_TRUE(socket.listen(path));
  const std::string most(kLineMax - 1, 'a');
  EXPECT_EQ(asked(most + "\n"), "<" + most + ">\n");
  EXPECT_EQ(asked(most + "aa\n"), "");
}

TEST_F(ControlSocketTest, ConnectionsOverTheLimitAreClosedAndTheOthersServed) {
  ControlSocket socket{loop, kLineMax, echo()};
  ASSERT_TRUE(socket.listen(path));
  std::string last = "not closed";
  const auto first = while_running([&] {
    std::vector<int> fds;
    for (std::size_t i = 0; i < kControlConnectionsMax; ++i) fds.push_back(connect_to(path));
    const int extra = connect_to(path);
    last = read_all(extra);
    ::close(extra);
    say(fds[0], "x\n");
    auto out = read_all(fds[0]);
    for (const int fd : fds) ::close(fd);
    return out;
  });
  EXPECT_EQ(last, "");
  EXPECT_EQ(first, "<x>\n");
  EXPECT_EQ(asked("y\n"), "<y>\n");
}

TEST_F(ControlSocketTest, AnAnswerMayComeLaterTwiceOrAfterTheAskerHasLeft) {
  ControlSocket::Reply later;
  ControlSocket socket{loop, kLineMax, [&](const std::string&, ControlSocket::Reply reply) {
                         later = std::move(reply);
                         loop.post([&] { later("first"); });
                         loop.post([&] { later("second"); });
                       }};
  ASSERT_TRUE(socket.listen(path));
  EXPECT_EQ(asked("x\n"), "first\n");
  later("third");
}

TEST_F(ControlSocketTest, TheSocketMayEndBeforeTheAnswer) {
  ControlSocket::Reply later;
  {
    ControlSocket socket{loop, kLineMax, [&](const std::string&, ControlSocket::Reply reply) {
                           later = std::move(reply);
                           loop.stop();
                         }};
    ASSERT_TRUE(socket.listen(path));
    const int fd = connect_to(path);
    say(fd, "x\n");
    loop.run();
    ::close(fd);
  }
  later("nobody reads this");
}

}  // namespace
}  // namespace fg::net
