#include "scripted_portal.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <openssl/sha.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdlib>

#include "base/encoding.h"

namespace fg::net::test {

Peer::Peer(int fd, SSL_CTX* tls) : fd_(fd) {
  const timeval limit{10, 0};
  ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  if (tls == nullptr) return;
  ssl_ = SSL_new(tls);
  SSL_set_fd(ssl_, fd_);
  is_good_ = SSL_accept(ssl_) == 1;
}

Peer::~Peer() {
  // Closing with unread bytes would reset the connection and take back what was sent.
  ::shutdown(fd_, SHUT_WR);
  std::array<char, 4096> rest{};
  while (::recv(fd_, rest.data(), rest.size(), 0) > 0) {
  }
  if (ssl_ != nullptr) SSL_free(ssl_);
  ::close(fd_);
}

bool Peer::read_exactly(std::string& out, std::size_t size) {
  while (is_good_ && size > 0) {
    std::array<char, 4096> chunk{};
    const std::size_t wanted = std::min(size, chunk.size());
    const auto got = ssl_ != nullptr ? SSL_read(ssl_, chunk.data(), static_cast<int>(wanted))
                                     : ::recv(fd_, chunk.data(), wanted, 0);
    is_good_ = got > 0;
    if (!is_good_) break;
    out.append(chunk.data(), static_cast<std::size_t>(got));
    size -= static_cast<std::size_t>(got);
  }
  return is_good_;
}

std::string Peer::read_request() {
  std::string request;
  while (!request.ends_with("\r\n\r\n") && read_exactly(request, 1)) {
  }
  return request;
}

std::string Peer::read_post() {
  auto request = read_request();
  constexpr std::string_view kLength = "Content-Length: ";
  const auto at = request.find(kLength);
  if (at != std::string::npos)
    (void)read_exactly(request, std::stoul(request.substr(at + kLength.size())));
  return request;
}

void Peer::send(std::string_view bytes) {
  while (is_good_ && !bytes.empty()) {
    const auto sent = ssl_ != nullptr
                          ? SSL_write(ssl_, bytes.data(), static_cast<int>(bytes.size()))
                          : ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    is_good_ = sent > 0;
    if (is_good_) bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
}

std::string Peer::upgrade() {
  auto request = read_request();
  constexpr std::string_view kKey = "Sec-WebSocket-Key: ";
  const auto at = request.find(kKey);
  if (at == std::string::npos) return request;
  const auto key = request.substr(at + kKey.size(), 24);
  const auto text = key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";  // RFC 6455 §1.3
  std::array<std::uint8_t, SHA_DIGEST_LENGTH> digest{};
  SHA1(as_bytes(text).data(), text.size(), digest.data());
  send(
      "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: "
      "websocket\r\nsec-websocket-accept: " +
      base64(digest) + "\r\n\r\n");
  return request;
}

Peer::Frame Peer::read_frame() {
  Frame frame;
  std::string head;
  if (!read_exactly(head, 2)) return frame;
  const auto byte = [&](std::size_t at) { return static_cast<unsigned char>(head[at]); };
  frame.is_masked = (byte(1) & 0x80U) != 0;
  std::size_t length = byte(1) & 0x7fU;
  if (length == 126 || length == 127) {
    const std::size_t more = length == 126 ? 2 : 8;
    if (!read_exactly(head, more)) return frame;
    length = 0;
    for (std::size_t i = 0; i < more; ++i) length = length << 8 | byte(2 + i);
  }
  std::string mask(frame.is_masked ? 0 : 4, '\0');
  if (frame.is_masked && !read_exactly(mask, 4)) return frame;
  if (!read_exactly(frame.payload, length)) return frame;
  for (std::size_t i = 0; i < length; ++i)
    frame.payload[i] = static_cast<char>(frame.payload[i] ^ mask[i % 4]);
  frame.opcode = byte(0) & 0x0f;
  return frame;
}

void Peer::send_frame(int opcode, std::string_view payload, bool is_final) {
  std::string frame;
  frame += static_cast<char>(opcode | (is_final ? 0x80 : 0));
  if (payload.size() < 126) {
    frame += static_cast<char>(payload.size());
  } else {
    frame += static_cast<char>(127);
    for (int shift = 56; shift >= 0; shift -= 8)
      frame += static_cast<char>(payload.size() >> shift);
  }
  send(frame + std::string{payload});
}

std::string Peer::accept() {
  auto request = upgrade();
  const auto join = read_frame();
  if (join.payload.find("phx_join") == std::string::npos) return request;
  send_text(
      R"({"topic":"gateway","event":"phx_reply","ref":0,"payload":{"status":"ok","response":{}}})");
  return request;
}

Certificate make_certificate(const std::string& directory) {
  Certificate made{directory + "/ca.pem", directory + "/cert.pem", directory + "/key.pem"};
  const std::string quiet = " >/dev/null 2>&1";
  const std::string ca =
      "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj "
      "/CN=test-ca -keyout " +
      directory + "/ca.key -out " + made.ca_file + quiet;
  const std::string leaf =
      "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj "
      "/CN=portal -addext subjectAltName=DNS:portal.test"
      " -addext basicConstraints=critical,CA:FALSE -CA " +
      made.ca_file + " -CAkey " + directory + "/ca.key -keyout " + made.key_file + " -out " +
      made.certificate_file + quiet;
  EXPECT_EQ(std::system(ca.c_str()), 0);
  EXPECT_EQ(std::system(leaf.c_str()), 0);
  return made;
}

ScriptedPortal::ScriptedPortal(std::vector<Script> scripts, const Certificate* certificate)
    : scripts_(std::move(scripts)) {
  if (certificate != nullptr) {
    tls_ = SSL_CTX_new(TLS_server_method());
    EXPECT_EQ(
        SSL_CTX_use_certificate_file(tls_, certificate->certificate_file.c_str(), SSL_FILETYPE_PEM),
        1);
    EXPECT_EQ(SSL_CTX_use_PrivateKey_file(tls_, certificate->key_file.c_str(), SSL_FILETYPE_PEM),
              1);
  }
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  EXPECT_EQ(::bind(listener_, reinterpret_cast<const sockaddr*>(&address), size), 0);
  EXPECT_EQ(::listen(listener_, 16), 0);
  EXPECT_EQ(::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size), 0);
  port_ = ntohs(address.sin_port);
  thread_ = std::thread([this] { serve(); });
}

void ScriptedPortal::finish() {
  ::shutdown(listener_, SHUT_RDWR);
  if (thread_.joinable()) thread_.join();
}

ScriptedPortal::~ScriptedPortal() {
  finish();
  ::close(listener_);
  if (tls_ != nullptr) SSL_CTX_free(tls_);
}

void ScriptedPortal::serve() {
  for (const auto& script : scripts_) {
    const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) return;
    Peer peer{fd, tls_};
    script(peer);
  }
}

}  // namespace fg::net::test
