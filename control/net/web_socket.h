// One WebSocket connection to a portal, from the host name to the last frame (spec
// portal 1.3, 1.4, 1.5, 1.12). Dials all addresses in parallel, the first TCP connection wins;
// where a proxy is named, its addresses, and the portal's name is the proxy's to resolve. Used
// once: every end is final, and only the first one is told. For the rest of this room only; Beast
// and OpenSSL stay in the .cpp.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/log.h"
#include "base/result.h"
#include "base/time.h"
#include "control/net/loop.h"
#include "control/net/resolver.h"
#include "control/net/tls.h"
#include "control/portal/login.h"

namespace fg::net {

inline constexpr Duration kUpgradeTimeout = 15s;  // spec portal 1.4: TCP, TLS and upgrade together
inline constexpr Duration kRefusalTimeout = 1s;   // for the rest of a refusal whose head is there
inline constexpr Duration kCloseTimeout = 1s;     // spec portal 1.12 "Ours"
inline constexpr std::size_t kRefusalBytesMax = std::size_t{128} << 10;  // head and body

class WebSocket {
 public:
  // Never called from within a call to the WebSocket. After on_refused, on_lost or
  // on_oversized nothing follows.
  struct Callbacks {
    std::function<void()> on_open;
    std::function<void(const portal::UpgradeRefusal&)> on_refused;
    std::function<void(const std::string& reason)> on_lost;
    std::function<void()> on_oversized;  // lost to a frame or message over its limit
    std::function<void(std::string_view text)> on_text;
    std::function<void()> on_writable;
  };

  WebSocket(Loop& loop, Resolver& resolver, std::shared_ptr<TlsContext> tls, Log log,
            std::uint32_t mark);
  ~WebSocket();  // as drop()
  WebSocket(const WebSocket&) = delete;
  WebSocket& operator=(const WebSocket&) = delete;

  void connect(portal::UpgradeRequest request, Callbacks callbacks);
  [[nodiscard]] bool is_writable() const;
  // Routing would choose another own address today: what is sent may never arrive.
  [[nodiscard]] bool is_stranded() const;
  // Only while is_writable(); on_writable follows.
  void write(std::string text);
  // Close 1000; done when answered, lost or after kCloseTimeout. No other callback follows.
  void close(std::function<void()> done);
  // Close 1000 from an address the host may have lost already; the answer cannot arrive and is
  // not waited for. No callback follows.
  void abandon();
  // Ends it without a word. No callback follows.
  void drop();

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace fg::net
