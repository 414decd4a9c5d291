// TCP with or without TLS as one stream type, so that Beast is instantiated once. For the rest of
// this room only.
#pragma once

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/beast/core/role.hpp>
#include <functional>
#include <optional>
#include <string_view>
#include <utility>

namespace fg::net {

class PortalStream {
 public:
  using Tcp = boost::asio::ip::tcp::socket;
  using executor_type = Tcp::executor_type;

  explicit PortalStream(Tcp tcp) : tcp_(std::move(tcp)) {}

  executor_type get_executor() { return tcp_.get_executor(); }
  Tcp& tcp() { return tcp_; }
  boost::asio::ssl::stream<Tcp&>& start_tls(boost::asio::ssl::context& context) {
    return tls_.emplace(tcp_, context);
  }
  // After start_tls only.
  SSL* tls() { return tls_->native_handle(); }

  // Sees all that is read, before its reader; none: nobody does.
  void set_tap(std::function<void(std::string_view)> tap) { tap_ = std::move(tap); }

  template <class Buffers, class Handler>
  void async_read_some(const Buffers& buffers, Handler&& handler) {
    if (tap_) {
      read_some(buffers, [this, buffers, handler = std::forward<Handler>(handler)](
                             const boost::system::error_code& error, std::size_t size) mutable {
        show(buffers, size);
        handler(error, size);
      });
    } else {
      read_some(buffers, std::forward<Handler>(handler));
    }
  }
  template <class Buffers, class Handler>
  void async_write_some(const Buffers& buffers, Handler&& handler) {
    if (tls_) {
      tls_->async_write_some(buffers, std::forward<Handler>(handler));
    } else {
      tcp_.async_write_some(buffers, std::forward<Handler>(handler));
    }
  }
  void close() {
    boost::system::error_code ignored;
    tcp_.shutdown(Tcp::shutdown_both, ignored);
    tcp_.close(ignored);
  }

 private:
  template <class Buffers, class Handler>
  void read_some(const Buffers& buffers, Handler&& handler) {
    if (tls_) {
      tls_->async_read_some(buffers, std::forward<Handler>(handler));
    } else {
      tcp_.async_read_some(buffers, std::forward<Handler>(handler));
    }
  }
  template <class Buffers>
  void show(const Buffers& buffers, std::size_t size) {
    for (auto at = boost::asio::buffer_sequence_begin(buffers);
         at != boost::asio::buffer_sequence_end(buffers) && size > 0 && tap_; ++at) {
      const boost::asio::const_buffer part{*at};
      const auto used = std::min(size, part.size());
      tap_({static_cast<const char*>(part.data()), used});
      size -= used;
    }
  }

  std::function<void(std::string_view)> tap_;
  Tcp tcp_;
  std::optional<boost::asio::ssl::stream<Tcp&>> tls_;
};

// What Beast asks of a stream at the end of a WebSocket. The portal needs no TLS closure: the Close
// frame was the end.
inline void beast_close_socket(PortalStream& stream) { stream.close(); }

template <class Handler>
void async_teardown(boost::beast::role_type /*role*/, PortalStream& stream, Handler&& handler) {
  boost::system::error_code ignored;
  stream.tcp().shutdown(PortalStream::Tcp::shutdown_both, ignored);
  boost::asio::post(stream.get_executor(), [handler = std::forward<Handler>(handler)]() mutable {
    handler(boost::system::error_code{});
  });
}

inline void teardown(boost::beast::role_type /*role*/, PortalStream& stream,
                     boost::system::error_code& error) {
  stream.tcp().shutdown(PortalStream::Tcp::shutdown_both, error);
}

}  // namespace fg::net
