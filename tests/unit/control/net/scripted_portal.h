// A portal that does exactly what a test tells it, on a thread and a port of its own. It writes raw
// bytes, so it can also do what no library would.
#pragma once

#include <openssl/ssl.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace fg::net::test {

// The portal's end of one connection. Reads give up after some seconds, so a broken test ends.
class Peer {
 public:
  Peer(int fd, SSL_CTX* tls);
  ~Peer();
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  struct Frame {
    int opcode = -1;  // −1: the stream ended
    std::string payload;
    bool is_masked = false;
  };

  [[nodiscard]] bool has_stream() const { return is_good_; }
  std::string read_request();
  std::string read_post();  // with its body
  void send(std::string_view bytes);
  // Reads the request, answers 101, returns the request.
  std::string upgrade();
  Frame read_frame();
  void send_frame(int opcode, std::string_view payload, bool is_final = true);
  void send_text(std::string_view text) { send_frame(1, text); }
  // Upgrade, then answer the join.
  std::string accept();

 private:
  bool read_exactly(std::string& out, std::size_t size);

  int fd_;
  SSL* ssl_ = nullptr;
  bool is_good_ = true;
};

struct Certificate {
  std::string ca_file;
  std::string certificate_file;
  std::string key_file;
};
// Made by the openssl command, for the name "portal.test", signed by an authority nobody knows.
Certificate make_certificate(const std::string& directory);

class ScriptedPortal {
 public:
  using Script = std::function<void(Peer&)>;

  // One script a connection, in order. Listens on 127.0.0.1.
  explicit ScriptedPortal(std::vector<Script> scripts, const Certificate* certificate = nullptr);
  ~ScriptedPortal();
  ScriptedPortal(const ScriptedPortal&) = delete;
  ScriptedPortal& operator=(const ScriptedPortal&) = delete;

  [[nodiscard]] std::uint16_t port() const { return port_; }
  // Returns when the scripts have ended; what they wrote may be read from then on. No further
  // connection is accepted.
  void finish();

 private:
  void serve();

  int listener_ = -1;
  std::uint16_t port_ = 0;
  SSL_CTX* tls_ = nullptr;
  std::vector<Script> scripts_;
  std::thread thread_;
};

}  // namespace fg::net::test
