// One interface whose tunnel packets come by AF_XDP: the program on it, and a socket for each of
// its queues, spread over the workers' ports. The control thread's. While it is there, and after it
// left, the UDP sockets own the port: what it does not take arrives there.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/drop_reason.h"
#include "base/result.h"
#include "io/xdp/delivery_watch.h"
#include "io/xdp/program.h"
#include "io/xdp/queue_socket.h"
#include "io/xdp/xdp_port.h"

namespace fg::io::xdp {

struct LinkOptions {
  ProgramOptions program;
  bool need_zero_copy = false;  // refused where frames would be copied, asked before attaching
  std::uint32_t busy_poll_us = 0;
  bool sends = false;
  std::uint16_t port_v4 = 0;  // of the tunnel; 0: none of that family
  std::uint16_t port_v6 = 0;
  std::size_t first_port = 0;  // that gets the first queue
};

class Link {
 public:
  // Everything or nothing: a queue that is refused, refuses the interface.
  static Result<std::unique_ptr<Link>, AttachError> attach(const LinkOptions& options,
                                                           std::span<XdpPort* const> ports);
  // Only when it is_done(), or no worker runs.
  ~Link();
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  [[nodiscard]] const std::string& interface() const { return interface_; }
  [[nodiscard]] unsigned index() const { return index_; }
  [[nodiscard]] Program* program() { return program_ ? &*program_ : nullptr; }
  [[nodiscard]] AttachMode mode() const { return mode_; }
  [[nodiscard]] bool is_zero_copy() const { return is_zero_copy_; }
  // That have a socket. The device may have more: those are the kernel's.
  [[nodiscard]] std::size_t queues() const { return queues_.size(); }
  [[nodiscard]] const QueueSocket* socket(std::size_t queue) const {
    return queues_[queue].socket.get();
  }

  enum class Fault : std::uint8_t { none, detached, queues_changed, silent };
  // Every kDeliveryInterval. Adds what sockets had to drop since to `drops`.
  [[nodiscard]] Fault check(DropCounters& drops);

  // Gives the interface back. Frames that were taken still reach the workers.
  void leave();
  // The workers have let everything go.
  [[nodiscard]] bool is_done();

 private:
  struct Queue {
    std::unique_ptr<QueueSocket> socket;
    XdpPort* port = nullptr;
    bool is_removed = false;
    QueueSocket::Losses losses;  // that are counted
  };
  explicit Link(const LinkOptions& options) : interface_(options.program.interface) {}
  std::optional<AttachError> open_queues(const LinkOptions& options,
                                         std::span<XdpPort* const> ports);

  std::string interface_;
  std::optional<Program> program_;  // until it leaves
  AttachMode mode_ = AttachMode::native;
  bool is_zero_copy_ = true;
  unsigned index_ = 0;  // of the interface
  unsigned device_queues_ = 0;
  std::vector<Queue> queues_;
  DeliveryWatch delivery_;
};

}  // namespace fg::io::xdp
