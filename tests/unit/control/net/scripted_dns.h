// A name server on a thread and a port of its own. Names it does not know do not exist; a name
// without addresses is never answered, nor is the question for AAAA of one that begins with
// "mute6."; for one that begins with "broken." the server fails.
#pragma once

#include <atomic>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "base/address.h"

namespace fg::net::test {

class ScriptedDns {
 public:
  using Zone = std::map<std::string, std::vector<IpAddress>>;

  explicit ScriptedDns(Zone zone, unsigned ttl = 60);
  ~ScriptedDns();
  ScriptedDns(const ScriptedDns&) = delete;
  ScriptedDns& operator=(const ScriptedDns&) = delete;

  [[nodiscard]] SocketAddress address() const { return address_; }
  [[nodiscard]] int queries() const { return queries_; }

 private:
  void serve();
  [[nodiscard]] std::string answer(const std::string& query);

  Zone zone_;
  unsigned ttl_;
  int socket_ = -1;
  SocketAddress address_;
  std::atomic<int> queries_{0};
  std::thread thread_;
};

}  // namespace fg::net::test
