// One HTTPS connection on which requests are posted one after the other (HTTP/1.1). Whoever owns it
// decides where to and how often; port and certificates are not up to the other end. Beast stays in
// the .cpp.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/log.h"
#include "base/result.h"
#include "base/secret.h"
#include "base/time.h"
#include "control/net/loop.h"
#include "control/net/resolver.h"
#include "control/net/tls.h"
#include "control/portal/proxy.h"

namespace fg::net {

inline constexpr Duration kHttpsConnectMax = 15s;
inline constexpr Duration kHttpsAnswerMax = 60s;
inline constexpr std::size_t kHttpsAnswerBytesMax = std::size_t{4} << 20;

struct HttpsAnswer {
  unsigned status = 0;
  std::optional<std::string> retry_after;
  std::optional<std::string> location;
};
struct HttpsFailure {
  std::string reason;
  bool is_timeout = false;  // else the other end closed, or broke, the connection
};

class HttpsConnection {
 public:
  HttpsConnection(Loop& loop, Resolver& resolver, std::shared_ptr<TlsContext> tls, Log log,
                  std::uint32_t mark);
  ~HttpsConnection();  // as close()
  HttpsConnection(const HttpsConnection&) = delete;
  HttpsConnection& operator=(const HttpsConnection&) = delete;

  // Replaces a connection there was. Callbacks are called once, later, and not after close().
  void connect(const std::string& host, std::uint16_t port, std::optional<portal::Proxy> proxy,
               std::function<void(std::string error)> done);
  // Open, and to that host.
  [[nodiscard]] bool is_open_to(const std::string& host) const;
  // Only while it is open and nothing else is asked.
  void post(const std::string& target, const SecretText& bearer, std::string json,
            std::function<void(Result<HttpsAnswer, HttpsFailure>)> done);
  void close();

 private:
  struct Impl;
  Loop& loop_;
  Resolver& resolver_;
  std::shared_ptr<TlsContext> tls_;
  Log log_;
  std::uint32_t mark_;
  std::shared_ptr<Impl> impl_;
};

}  // namespace fg::net
