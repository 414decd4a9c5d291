// The control thread's half of sending by AF_XDP: answers the workers' questions for next hops, and
// takes all answers back when anything changed that may have gone into one, so that a frame follows
// an old one for as long as an announcement takes. Announcements can be lost: every kFresh all is
// asked again, and a neighbour nobody has heard of is probed. While changes keep coming nothing is
// answered: the sockets serve.
//
// Left to itself (`auto`) it sends nothing past what others have put into the way out of this host:
// what leaves by AF_XDP passes neither netfilter nor tc. When it is demanded, it does.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "base/log.h"
#include "base/time.h"
#include "gateway/configuration.h"
#include "gateway/next_hop_resolver.h"
#include "io/kernel/file_descriptor.h"
#include "io/xdp/link.h"

namespace fg::gateway {

class XdpSending {
 public:
  static constexpr Duration kFresh = 15s;
  static constexpr Duration kSettle = 50ms;  // others change several things at once

  // `choice` is not off. The ports and the netlink socket outlive it.
  static Result<std::unique_ptr<XdpSending>, SysError> open(
      XdpSendChoice choice, const NextHopResolver::Socket& socket, Netlink& netlink,
      std::span<io::xdp::XdpPort* const> ports, Log log);

  // Readable when there is something for on_readable().
  [[nodiscard]] int fd() const { return poll_.get(); }
  void on_readable(Instant now);
  // Routes, rules, addresses or links.
  void on_change(Instant now);
  // The devices AF_XDP is on, by index.
  void set_attached(std::vector<unsigned> attached, Instant now);
  // `netfilter`: what others do there to what leaves (outgoing_filters.h); empty: nothing.
  void on_turn(Instant now, const std::string& netfilter);
  [[nodiscard]] Instant wakeup() const;

  // What was measured since, to the log.
  void say_what_was_measured(const io::xdp::Link& link);
  // "sends single datagrams by AF_XDP (812 against 1034 ns), ..."
  [[nodiscard]] std::string describe(const io::xdp::Link& link) const;

 private:
  static constexpr int kAnswersPerTurn = 64;

  XdpSending(XdpSendChoice choice, const NextHopResolver::Socket& socket, Netlink& netlink,
             std::span<io::xdp::XdpPort* const> ports, NetlinkMonitor monitor, Log log);
  void begin_epoch();
  [[nodiscard]] bool answer_some();
  [[nodiscard]] std::string find_obstacle(unsigned device);
  void find_obstacles();

  XdpSendChoice choice_;
  Netlink& netlink_;
  NextHopResolver resolver_;
  std::vector<io::xdp::XdpPort*> ports_;
  NetlinkMonitor monitor_;
  Log log_;
  io::kernel::FileDescriptor poll_;
  std::vector<unsigned> attached_;
  std::string netfilter_;
  std::map<unsigned, std::string> obstacles_;  // why `auto` leaves a device to the sockets
  bool are_obstacles_known_ = false;           // of this epoch
  bool has_questions_ = false;
  Instant settled_at_{};
  std::optional<Instant> stale_at_;  // none: nothing was answered
  // By interface, queue and shape.
  std::map<std::tuple<std::string, std::size_t, std::size_t>, io::xdp::SendWay> said_;
};

}  // namespace fg::gateway
