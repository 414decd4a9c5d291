#include "gateway/xdp_sending.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "io/xdp/device.h"

namespace fg::gateway {
namespace {

using io::xdp::BurstShape;
using io::xdp::SendWay;
using Verdict = io::xdp::QueueSocket::SendVerdict;

constexpr std::array<const char*, io::xdp::kBurstShapes> kShapes{"single datagrams", "short runs",
                                                                 "long runs"};

std::string to_string(const Verdict& verdict) {
  const auto& [socket, xdp] = verdict.costs;
  return verdict.way == SendWay::xdp
             ? "by AF_XDP (" + std::to_string(xdp) + " ns, a socket " + std::to_string(socket) + ")"
             : "by sockets (" + std::to_string(socket) + " ns, AF_XDP " + std::to_string(xdp) + ")";
}

bool watch(const io::kernel::FileDescriptor& poll, int fd) {
  epoll_event event{.events = EPOLLIN, .data = {.fd = fd}};
  return ::epoll_ctl(poll.get(), EPOLL_CTL_ADD, fd, &event) == 0;
}

}  // namespace

Result<std::unique_ptr<XdpSending>, SysError> XdpSending::open(
    XdpSendChoice choice, const NextHopResolver::Socket& socket, Netlink& netlink,
    std::span<io::xdp::XdpPort* const> ports, Log log) {
  auto monitor = NetlinkMonitor::open(NetlinkMonitor::Topic::neighbours);
  if (!monitor) return fail(monitor.error());
  std::unique_ptr<XdpSending> out{
      new XdpSending{choice, socket, netlink, ports, std::move(*monitor), std::move(log)}};
  bool is_watched = out->poll_.is_open() && watch(out->poll_, out->monitor_.fd());
  for (const auto* port : ports) is_watched = is_watched && watch(out->poll_, port->question_fd());
  if (!is_watched) return fail(SysError{"wait for questions of the workers", errno});
  return out;
}

XdpSending::XdpSending(XdpSendChoice choice, const NextHopResolver::Socket& socket,
                       Netlink& netlink, std::span<io::xdp::XdpPort* const> ports,
                       NetlinkMonitor monitor, Log log)
    : choice_(choice),
      netlink_(netlink),
      resolver_(netlink, socket),
      ports_(ports.begin(), ports.end()),
      monitor_(std::move(monitor)),
      log_(std::move(log)),
      poll_(::epoll_create1(EPOLL_CLOEXEC)) {}

void XdpSending::begin_epoch() {
  for (auto* port : ports_) port->next_hops().begin_epoch();
  resolver_.forget();
  are_obstacles_known_ = false;
  stale_at_.reset();
}

void XdpSending::on_readable(Instant now) {
  for (const auto* port : ports_) {
    eventfd_t ignored = 0;
    has_questions_ |= ::eventfd_read(port->question_fd(), &ignored) == 0;
  }
  bool is_changed = false;
  monitor_.read(
      [&](const HostChange& change) { is_changed = is_changed || resolver_.concerns(change); });
  if (is_changed) on_change(now);
}

void XdpSending::on_change(Instant now) {
  begin_epoch();
  settled_at_ = now + kSettle;
}

void XdpSending::set_attached(std::vector<unsigned> attached, Instant now) {
  if (attached == attached_) return;
  attached_ = std::move(attached);
  on_change(now);
}

void XdpSending::on_turn(Instant now, const std::string& netfilter) {
  if (netfilter != netfilter_ && choice_ == XdpSendChoice::automatic) on_change(now);
  netfilter_ = netfilter;
  if (stale_at_ && *stale_at_ <= now) begin_epoch();
  if (!has_questions_ || settled_at_ > now) return;
  has_questions_ = answer_some();
  if (!stale_at_) stale_at_ = now + kFresh;
}

Instant XdpSending::wakeup() const {
  if (has_questions_) return settled_at_;
  return stale_at_.value_or(Instant::max());
}

// True: there may be more.
bool XdpSending::answer_some() {
  find_obstacles();
  std::vector<unsigned> usable;
  std::ranges::copy_if(attached_, std::back_inserter(usable),
                       [this](unsigned index) { return !obstacles_.contains(index); });
  for (int i = 0; i < kAnswersPerTurn;) {
    const int before = i;
    for (auto* port : ports_) {
      auto& hops = port->next_hops();
      const auto question = hops.next_question();
      if (!question) continue;
      ++i;
      if (question->epoch != hops.epoch()) continue;
      if (auto hop = resolver_.resolve(question->destination, usable))
        (void)hops.answer({question->destination, question->epoch, *hop});
    }
    if (i == before) return false;
  }
  return true;
}

void XdpSending::find_obstacles() {
  if (std::exchange(are_obstacles_known_, true)) return;
  obstacles_.clear();
  if (choice_ == XdpSendChoice::on) return;
  for (const auto index : attached_) {
    if (auto why = find_obstacle(index); !why.empty()) obstacles_[index] = std::move(why);
  }
}

// On the device and on its VLANs. What cannot be asked is in the way.
std::string XdpSending::find_obstacle(unsigned device) {
  if (!netfilter_.empty()) return netfilter_;
  const auto policies = Netlink::has_ipsec_policies();
  if (!policies) return policies.error().to_string();
  if (*policies) return "the host has IPsec policies";
  const auto links = netlink_.interfaces();
  if (!links) return links.error().to_string();
  for (const auto& link : *links) {
    if (link.index != device && (link.kind != "vlan" || link.parent != device)) continue;
    const auto control = netlink_.egress_control(link.index);
    if (!control) return control.error().to_string();
    if (!control->empty()) return *control + " on " + link.name;
    if (io::xdp::has_egress_programs(link.index))
      return "BPF programs are on the way out of " + link.name;
  }
  return "";
}

void XdpSending::say_what_was_measured(const io::xdp::Link& link) {
  if (choice_ != XdpSendChoice::automatic) return;
  for (std::size_t q = 0; q < link.queues(); ++q) {
    const auto* socket = link.socket(q);
    for (std::size_t shape = 0; shape < io::xdp::kBurstShapes; ++shape) {
      const auto verdict = socket->verdict(static_cast<BurstShape>(shape));
      if (!verdict) continue;
      const auto [at, is_new] = said_.try_emplace({link.interface(), q, shape}, verdict->way);
      if (!is_new && at->second == verdict->way) continue;
      at->second = verdict->way;
      const auto say = [&](auto write) {
        (log_.*write)("sending measured", {{"interface", link.interface()},
                                           {"queue", q},
                                           {"bursts_of", kShapes[shape]},
                                           {"leave", to_string(*verdict)}});
      };
      say(is_new ? &Log::info : &Log::debug);
    }
  }
}

std::string XdpSending::describe(const io::xdp::Link& link) const {
  if (choice_ == XdpSendChoice::on) return "sends by AF_XDP";
  if (link.queues() == 0) return "";
  const auto obstacle = obstacles_.find(link.index());
  if (obstacle != obstacles_.end()) return "sends by sockets: " + obstacle->second;
  std::string out;
  for (std::size_t shape = 0; shape < io::xdp::kBurstShapes; ++shape) {
    const auto verdict = link.socket(0)->verdict(static_cast<BurstShape>(shape));
    if (!verdict) continue;
    out +=
        (out.empty() ? "sends " : ", ") + std::string(kShapes[shape]) + " " + to_string(*verdict);
  }
  return out.empty() ? "sends by sockets: nothing was measured yet" : out;
}

}  // namespace fg::gateway
