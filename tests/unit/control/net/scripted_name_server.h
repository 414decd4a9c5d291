// A name server for TXT on a thread, UDP and TCP on one port of 127.0.0.1. The first label of the
// name says what it does: "big" 3000 bytes, "none" NXDOMAIN, "mute" nothing, "end" closes the
// connection, "lie" answers UDP wrongly first; else a short record.
#pragma once

#include <atomic>
#include <string>
#include <thread>

#include "base/address.h"

namespace fg::net::test {

class ScriptedNameServer {
 public:
  ScriptedNameServer();
  ~ScriptedNameServer();
  ScriptedNameServer(const ScriptedNameServer&) = delete;
  ScriptedNameServer& operator=(const ScriptedNameServer&) = delete;

  [[nodiscard]] SocketAddress address() const { return {IpAddress::v4(127, 0, 0, 1), port_}; }
  [[nodiscard]] int probes() const { return probes_; }

 private:
  void serve();
  void serve_datagram();
  void serve_connection();
  [[nodiscard]] std::string answer(const std::string& query);

  int udp_ = -1;
  int tcp_ = -1;
  int end_ = -1;
  std::uint16_t port_ = 0;
  std::atomic<int> probes_{0};
  std::thread thread_;
};

}  // namespace fg::net::test
