#include "control/net/proxy_tunnel.h"

#include <gtest/gtest.h>

#include "control/net/loop.h"
#include "scripted_portal.h"

namespace fg::net {
namespace {

using test::Peer;
using test::ScriptedPortal;

class ProxyTunnelTest : public testing::Test {
 protected:
  // What opening a tunnel to portal.test:443 through that proxy yields.
  std::string open(const ScriptedPortal& proxy, std::optional<SecretText> authorization = {}) {
    boost::asio::ip::tcp::socket socket{loop.context()};
    socket.connect({boost::asio::ip::address_v4::loopback(), proxy.port()});
    name = "127.0.0.1:" + std::to_string(proxy.port());
    std::string result = "no answer";
    open_tunnel(socket, {"127.0.0.1", proxy.port(), std::move(authorization)}, "portal.test:443",
                [&](std::string error) {
                  result = std::move(error);
                  loop.stop();
                });
    EXPECT_EQ(result, "no answer");
    loop.run();
    return result;
  }
  static ScriptedPortal::Script answer(const std::string& head) {
    return [head](Peer& peer) {
      (void)peer.read_request();
      peer.send(head);
    };
  }

  Loop loop;
  std::string name;
};

TEST_F(ProxyTunnelTest, AsksWithConnectAndCredentials) {
  std::string got;
  ScriptedPortal proxy({[&](Peer& peer) {
    got = peer.read_request();
    peer.send("HTTP/1.1 200 Connection established\r\nProxy-Agent: x\r\n\r\n");
  }});
  EXPECT_EQ(open(proxy, SecretText{"Basic dTpw"}), "");
  proxy.finish();
  EXPECT_EQ(got,
            "CONNECT portal.test:443 HTTP/1.1\r\nHost: portal.test:443\r\n"
            "Proxy-Authorization: Basic dTpw\r\n\r\n");
}

TEST_F(ProxyTunnelTest, AContentLengthOfAnAcceptedConnectMeansNothing) {
  ScriptedPortal proxy({answer("HTTP/1.0 200 OK\r\nContent-Length: 99\r\n\r\n")});
  EXPECT_EQ(open(proxy), "");
}

TEST_F(ProxyTunnelTest, ARefusalNamesTheProxyTheStatusAndTheMend) {
  ScriptedPortal proxy({answer("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")});
  auto error = open(proxy);
  EXPECT_EQ(error, "proxy " + name +
                       " wants credentials (407): set them in the proxy's URL, "
                       "http://user:password@" +
                       name);
  ScriptedPortal strict({answer("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")});
  error = open(strict, SecretText{"Basic c2VjcmV0"});
  EXPECT_NE(error.find("wants other credentials"), std::string::npos) << error;
  EXPECT_EQ(error.find("c2VjcmV0"), std::string::npos) << error;
  ScriptedPortal closed({answer("HTTP/1.1 403 Forbidden\r\nContent-Length: 3\r\n\r\nno!")});
  error = open(closed);
  EXPECT_EQ(error, "proxy " + name + " does not connect to portal.test:443: HTTP status 403");
}

TEST_F(ProxyTunnelTest, WhatIsNoAnswerIsAnError) {
  ScriptedPortal mute({[](Peer& peer) { (void)peer.read_request(); }});
  EXPECT_NE(open(mute).find("ended the connection"), std::string::npos);
  ScriptedPortal other({answer("SSH-2.0-OpenSSH_9.2\r\n\r\n")});
  EXPECT_NE(open(other).find("ended the connection"), std::string::npos);
  ScriptedPortal endless(
      {answer("HTTP/1.1 200 OK\r\nX: " + std::string(20'000, 'x') + "\r\n\r\n")});
  EXPECT_NE(open(endless).find("ended the connection"), std::string::npos);
  ScriptedPortal eager({answer("HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 101 Switching Protocols\r\n\r\n")});
  EXPECT_NE(open(eager).find("sent more than an answer"), std::string::npos);
}

}  // namespace
}  // namespace fg::net
