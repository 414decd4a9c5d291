#include "gateway/fast_path.h"

#include <poll.h>

#include <algorithm>
#include <array>
#include <map>

#include "gateway/wan_links.h"
#include "gateway/xdp_sending.h"
#include "io/xdp/link.h"
#include "io/xdp/xdp_backend.h"

namespace fg::gateway {
namespace {

using io::xdp::AttachError;
using io::xdp::AttachMode;
using XdpLink = io::xdp::Link;

constexpr Duration kSettle = 100ms;     // others change several things at once
constexpr Duration kRefreshPause = 1s;  // routes and addresses may change all the time
constexpr Duration kRelease = 20ms;     // until workers are asked again whether they have let go
constexpr Duration kRetryFirst = 1s;
constexpr Duration kRetryMax = 60s;
constexpr Duration kSteady = 60s;  // who holds that long begins with the first pause again
// The queue of a socket that was closed a moment ago is busy (guides/performance 2.7).
constexpr int kBusyQueueTries = 20;
constexpr Duration kBusyQueuePause = 50ms;

// Trying again would change nothing, and on a real device costs its traffic a moment each time.
bool is_lasting(AttachError::Reason reason) {
  using enum AttachError::Reason;
  switch (reason) {
    case no_interface:
    case occupied:
    case no_bpffs:
    case another_gateway:
    case dispatcher_refused:
    case queue_taken:
      return false;
    default:
      return true;
  }
}

io::xdp::SendMode send_mode(XdpSendChoice choice) {
  switch (choice) {
    case XdpSendChoice::automatic:
      return io::xdp::SendMode::measured;
    case XdpSendChoice::on:
      return io::xdp::SendMode::on;
    case XdpSendChoice::off:
      break;
  }
  return io::xdp::SendMode::off;
}

std::string counted(std::size_t n, const char* what) {
  return std::to_string(n) + " " + what + (n == 1 ? "" : "s");
}

}  // namespace

struct FastPath::State {
  State(FastPathOptions o, Log l) : options(std::move(o)), log(std::move(l)) {}

  // An interface that is wanted.
  struct Entry {
    std::unique_ptr<XdpLink> link;
    std::string refusal;             // why there is none
    std::string limitation;          // why it is not better
    std::optional<AttachMode> only;  // what is left to try; none: native, then generic
    std::string why_not_native;      // where generic mode is what is left
    bool is_given_up = false;        // until it is made anew, or set up
    unsigned index = 0;              // as last seen
    bool is_up = false;
    int busy_tries = 0;
    Duration pause = kRetryFirst;
    Instant retry_at{};
    Instant attached_at{};
  };

  [[nodiscard]] bool is_off() const { return options.backend == BackendChoice::kernel; }
  void start_sending();
  void tell_sending(Instant now);
  void refresh(Instant now);
  void attach(const std::string& name, Entry& entry, Instant now);
  [[nodiscard]] Result<std::unique_ptr<XdpLink>, AttachError> try_modes(const std::string& name,
                                                                        Entry& entry);
  void give_back(Entry& entry);
  static void pause(Entry& entry, Instant now);
  static void notice(Entry& entry, const Interface& seen, Instant now);
  void ask_for_refresh(Instant now) {
    if (!refresh_at) refresh_at = std::max(now + kSettle, refreshed_at + kRefreshPause);
  }
  void check(const std::string& name, Entry& entry, Instant now);
  void tell_relays(XdpLink& link);
  void refuse(const std::string& name, Entry& entry, std::string why);
  [[nodiscard]] std::string describe(const XdpLink& link) const;
  [[nodiscard]] std::string limits_of(const Entry& entry) const;

  FastPathOptions options;
  Log log;
  std::unique_ptr<Netlink> netlink;
  std::unique_ptr<XdpSending> sending;  // none: everything leaves by sockets
  std::vector<io::xdp::XdpPort*> ports;
  NextHopResolver::Socket socket;
  std::map<std::string, Entry> entries;
  std::vector<std::unique_ptr<XdpLink>> leaving;
  std::map<RelaySlot, SocketAddress> relays;
  std::vector<IpAddress> addresses;
  std::string obstacle;  // of all interfaces
  std::optional<Instant> refresh_at;
  Instant refreshed_at{};
  Instant check_at{};
  Instant turned_at{};
  bool is_starting = false;
  DropCounters drops;
};

FastPath::FastPath(FastPathOptions options, Log log)
    : state_(std::make_unique<State>(std::move(options), std::move(log))) {}
FastPath::~FastPath() = default;

Result<io::kernel::KernelBackend, SysError> FastPath::open(
    const io::kernel::KernelOptions& options) {
  if (state_->is_off()) return io::kernel::open_kernel_backend(options);
  auto opened = io::xdp::open_xdp_backend(options, send_mode(state_->options.send));
  if (!opened) return fail(opened.error());
  state_->ports = std::move(opened->ports);
  const auto& can = opened->kernel.capabilities;
  if (can.v4) state_->socket.port_v4 = can.v4->port;
  if (can.v6) state_->socket.port_v6 = can.v6->port;
  state_->socket.mark = options.mark;
  return std::move(opened->kernel);
}

Result<void, std::string> FastPath::start(Instant now) {
  auto& s = *state_;
  io::xdp::remove_leftovers();
  if (s.is_off()) {
    s.log.info("backend chosen", {{"backend", "kernel"}, {"why_not_xdp", "--backend kernel"}});
    return {};
  }
  auto netlink = Netlink::open();
  if (!netlink) return fail(netlink.error().to_string() + ": allow netlink sockets (AF_NETLINK)");
  s.netlink = std::move(*netlink);
  s.start_sending();
  s.is_starting = true;
  s.refresh(now);
  // The gateway before this one may have ended a moment ago.
  for (int i = 0; i < kBusyQueueTries; ++i) {
    const bool is_busy =
        std::ranges::any_of(s.entries, [](const auto& e) { return e.second.busy_tries > 0; });
    if (!is_busy) break;
    (void)::poll(nullptr, 0, static_cast<int>(kBusyQueuePause / 1ms));
    for (auto& [name, entry] : s.entries) {
      if (entry.busy_tries > 0) s.attach(name, entry, now);
    }
  }
  s.is_starting = false;

  std::string taken;
  std::string limits;
  std::string refusals = s.obstacle;
  const auto append = [](std::string& to, const std::string& what) {
    if (!what.empty()) to += (to.empty() ? "" : "; ") + what;
  };
  for (auto& [name, entry] : s.entries) {
    if (entry.link) {
      append(taken, s.describe(*entry.link));
      append(limits, entry.limitation);
    } else {
      append(refusals, entry.refusal);
    }
  }
  if (taken.empty() && s.options.backend == BackendChoice::xdp)
    return fail("backend xdp cannot be had: " + refusals);
  append(limits, refusals);
  if (taken.empty())
    s.log.info("backend chosen", {{"backend", "kernel"}, {"why_not_xdp", refusals}});
  else
    s.log.info("backend chosen",
               {{"backend", "xdp"}, {"interfaces", taken}, {"why_not_more", limits}});
  return {};
}

void FastPath::State::start_sending() {
  if (options.send == XdpSendChoice::off) return;
  auto opened = XdpSending::open(options.send, socket, *netlink, ports, log);
  if (opened)
    sending = std::move(*opened);
  else
    log.warn("everything leaves by the kernel's sockets", {{"why", opened.error().to_string()}});
}

void FastPath::State::tell_sending(Instant now) {
  if (!sending) return;
  std::vector<unsigned> attached;
  for (const auto& [name, entry] : entries) {
    if (entry.link) attached.push_back(entry.link->index());
  }
  sending->set_attached(std::move(attached), now);
}

// ---- which interfaces ----

void FastPath::State::refresh(Instant now) {
  refresh_at.reset();
  refreshed_at = now;
  const auto all = netlink->interfaces();
  auto routed = netlink->default_routes();
  const auto here = netlink->addresses();
  if (!all || !routed || !here) {
    refresh_at = now + kRetryFirst;
    return;
  }
  for (const auto& [slot, server] : relays) {
    if (const auto index = netlink->route_to(server.ip)) routed->push_back(*index);
  }
  const auto wanted = wan_links(*all, *routed, options.interfaces);
  obstacle =
      wanted.empty() ? "no default route tells the interface: name it, --xdp-interfaces" : "";
  for (auto& [name, entry] : entries) {
    const bool is_wanted = std::ranges::find(wanted, name, &WanLink::name) != wanted.end();
    if (!is_wanted) give_back(entry);
  }
  std::erase_if(entries, [&](const auto& entry) {
    return std::ranges::find(wanted, entry.first, &WanLink::name) == wanted.end();
  });
  addresses = *here;
  for (const auto& wan : wanted) {
    auto& entry = entries[wan.name];
    const auto seen = std::ranges::find(*all, wan.name, &Interface::name);
    if (seen != all->end()) notice(entry, *seen, now);
    if (!wan.obstacle.empty()) {
      give_back(entry);
      refuse(wan.name, entry, wan.obstacle);
    } else if (!entry.link && !entry.is_given_up && entry.retry_at <= now) {
      attach(wan.name, entry, now);
    }
    if (entry.link) (void)entry.link->program()->set_addresses(addresses);
  }
}

// A device that is made anew, or set up, is another chance. A driver that takes its device down for
// an attempt has few of them.
void FastPath::State::notice(Entry& entry, const Interface& seen, Instant now) {
  const bool is_new = seen.index != entry.index;
  if (is_new || (seen.is_up && !entry.is_up)) {
    if (is_new) entry.pause = kRetryFirst;
    if (is_new || !entry.is_given_up)
      entry.retry_at = now;
    else
      pause(entry, now);
    entry.is_given_up = false;
    if (!entry.link) entry.only.reset();
  }
  entry.index = seen.index;
  entry.is_up = seen.is_up;
}

void FastPath::State::tell_relays(XdpLink& link) {
  std::vector<SocketAddress> servers;
  for (const auto& [slot, server] : relays) servers.push_back(server);
  (void)link.program()->set_relays(servers);
}

void FastPath::State::pause(Entry& entry, Instant now) {
  entry.retry_at = now + entry.pause;
  entry.pause = std::min(entry.pause * 2, kRetryMax);
}

// ---- attach and leave ----

Result<std::unique_ptr<XdpLink>, AttachError> FastPath::State::try_modes(const std::string& name,
                                                                         Entry& entry) {
  io::xdp::LinkOptions link_options{
      .program = {.interface = name, .only = entry.only, .frame_max = io::xdp::kFrameMax},
      .need_zero_copy = options.backend == BackendChoice::automatic,
      .busy_poll_us = options.busy_poll_us,
      .sends = sending != nullptr,
      .port_v4 = socket.port_v4,
      .port_v6 = socket.port_v6,
      .first_port = entries.size() - 1};
  // A frame that became a socket buffer before the program sees it costs more than the socket does.
  if (options.backend == BackendChoice::automatic) link_options.program.only = AttachMode::native;
  if (entry.only != AttachMode::generic) entry.why_not_native.clear();
  auto link = XdpLink::attach(link_options, ports);
  if (link || link_options.program.only ||
      link.error().reason != AttachError::Reason::socket_refused)
    return link;
  link_options.program.only = AttachMode::generic;
  entry.why_not_native = "native mode: " + link.error().to_string();
  return XdpLink::attach(link_options, ports);
}

void FastPath::State::attach(const std::string& name, Entry& entry, Instant now) {
  auto link = try_modes(name, entry);
  if (!link) {
    const bool is_busy = link.error().reason == AttachError::Reason::queue_taken;
    if (is_busy && entry.busy_tries < kBusyQueueTries) {
      ++entry.busy_tries;
      entry.retry_at = now + kBusyQueuePause;
      entry.refusal = link.error().to_string();
      return;
    }
    entry.busy_tries = 0;
    entry.is_given_up = is_lasting(link.error().reason);
    pause(entry, now);
    refuse(name, entry, link.error().to_string());
    return;
  }
  entry.busy_tries = 0;
  entry.attached_at = now;
  entry.link = std::move(*link);
  entry.refusal.clear();
  entry.limitation = limits_of(entry);
  (void)entry.link->program()->set_addresses(addresses);
  tell_relays(*entry.link);
  if (!is_starting)
    log.info("tunnel packets come by AF_XDP",
             {{"interface", describe(*entry.link)}, {"why_not_more", entry.limitation}});
}

void FastPath::State::give_back(Entry& entry) {
  if (!entry.link) return;
  entry.link->leave();
  leaving.push_back(std::move(entry.link));
}

// Said when it is new.
void FastPath::State::refuse(const std::string& name, Entry& entry, std::string why) {
  if (!is_starting && entry.refusal != why)
    log.warn("tunnel packets come by the kernel's sockets",
             {{"interface", name}, {"why_not_xdp", why}});
  entry.refusal = std::move(why);
}

// ---- what becomes of it ----

void FastPath::State::check(const std::string& name, Entry& entry, Instant now) {
  if (now - entry.attached_at >= kSteady) entry.pause = kRetryFirst;
  const auto fault = entry.link->check(drops);
  if (fault == XdpLink::Fault::none) return;
  const auto mode = entry.link->mode();
  const bool is_native = mode == AttachMode::native;
  give_back(entry);
  switch (fault) {
    case XdpLink::Fault::none:
      break;
    case XdpLink::Fault::detached:
      refuse(name, entry,
             "the XDP program was detached by another program, or with the interface; tried again");
      pause(entry, now);
      break;
    case XdpLink::Fault::queues_changed:
      refuse(name, entry, "the number of its receive queues changed; attached again");
      entry.retry_at = now;
      break;
    case XdpLink::Fault::silent:
      drops.count(DropReason::xdp_silent);
      refuse(name, entry,
             "attached in " + std::string(to_string(mode)) +
                 " mode, but what is redirected does not arrive: a fault of the driver, update the "
                 "kernel");
      entry.is_given_up = !is_native || options.backend == BackendChoice::automatic;
      entry.only = AttachMode::generic;
      entry.why_not_native = entry.refusal;
      entry.retry_at = now;
      break;
  }
}

void FastPath::on_change(const HostChange& change, Instant now) {
  auto& s = *state_;
  using Kind = HostChange::Kind;
  if (!s.netlink || change.kind == Kind::firewall) return;
  if (s.sending) s.sending->on_change(now);
  if (change.kind == Kind::rule) return;
  if (change.kind == Kind::route && change.prefix != 0) return;
  // An interface that vanished, or lost the program with it.
  if (change.kind == Kind::link) s.check_at = std::min(s.check_at, now + kSettle);
  s.ask_for_refresh(now);
}

void FastPath::on_relay(RelaySlot relay, const std::optional<SocketAddress>& server, Instant now) {
  auto& s = *state_;
  if (!s.netlink) return;
  if (server)
    s.relays[relay] = *server;
  else
    s.relays.erase(relay);
  for (auto& [name, entry] : s.entries) {
    if (entry.link) s.tell_relays(*entry.link);
  }
  s.ask_for_refresh(now);  // the route to it may be another one
}

int FastPath::fd() const { return state_->sending ? state_->sending->fd() : -1; }

void FastPath::on_readable(Instant now) { state_->sending->on_readable(now); }

void FastPath::on_turn(Instant now, const std::string& outgoing_filter) {
  auto& s = *state_;
  if (!s.netlink) return;
  s.turned_at = now;
  std::erase_if(s.leaving, [](const auto& link) { return link->is_done(); });
  if (s.check_at <= now) {
    s.check_at = now + io::xdp::kDeliveryInterval;
    for (auto& [name, entry] : s.entries) {
      if (entry.link) s.check(name, entry, now);
      if (entry.link && s.sending) s.sending->say_what_was_measured(*entry.link);
    }
  }
  const bool is_due = std::ranges::any_of(s.entries, [now](const auto& e) {
    return !e.second.link && !e.second.is_given_up && e.second.retry_at <= now;
  });
  // What a queue's former socket holds is to be free first.
  if (s.leaving.empty() && ((s.refresh_at && *s.refresh_at <= now) || is_due)) s.refresh(now);
  s.tell_sending(now);
  if (s.sending) s.sending->on_turn(now, outgoing_filter);
}

Instant FastPath::wakeup() const {
  const auto& s = *state_;
  if (!s.netlink) return Instant::max();
  // Nothing can be attached before the workers have let go.
  if (!s.leaving.empty()) return s.turned_at + kRelease;
  auto at = std::min(s.sending ? s.sending->wakeup() : Instant::max(),
                     s.refresh_at.value_or(Instant::max()));
  for (const auto& [name, entry] : s.entries) {
    if (entry.link)
      at = std::min(at, s.check_at);
    else if (!entry.is_given_up)
      at = std::min(at, entry.retry_at);
  }
  return at;
}

// ---- what people see ----

std::string FastPath::State::describe(const XdpLink& link) const {
  return link.interface() + " " + std::string(to_string(link.mode())) + ", " +
         (link.is_zero_copy() ? "zero copy" : "copies") + ", " + counted(link.queues(), "queue");
}

std::string FastPath::State::limits_of(const Entry& entry) const {
  auto& link = *entry.link;
  auto out = link.program()->limitation();
  if (out.empty()) out = entry.why_not_native;
  const auto add = [&out](const std::string& what) { out += (out.empty() ? "" : "; ") + what; };
  if (link.mode() == AttachMode::native && !link.is_zero_copy())
    add(link.interface() + "'s driver has no zero copy");
  if (link.queues() < ports.size())
    add(counted(link.queues(), "queue") + " for " + counted(ports.size(), "worker") +
        ": they hand packets over (ethtool -L " + link.interface() + ")");
  return out;
}

FastPath::Report FastPath::report() const {
  Report out;
  std::map<std::string, std::uint64_t> verdicts;
  for (const auto& [name, entry] : state_->entries) {
    auto what = entry.link ? state_->describe(*entry.link) : name + ": " + entry.refusal;
    if (entry.link && state_->sending) what += ", " + state_->sending->describe(*entry.link);
    if (entry.link && !entry.limitation.empty()) what += ", not more: " + entry.limitation;
    out.detail += (out.detail.empty() ? "" : "; ") + what;
    if (!entry.link) continue;
    out.name = "xdp";
    const auto counters = entry.link->program()->counters();
    for (std::size_t i = 0; i < counters.of.size(); ++i) {
      if (counters.of[i] != 0)
        verdicts[std::string(io::xdp::VerdictCounters::name(i))] += counters.of[i];
    }
  }
  if (state_->entries.empty()) out.detail = state_->obstacle;
  for (const auto* port : state_->ports) {
    out.sent_by_xdp += port->counters().sent_by_xdp;
    out.send_frames_short += port->counters().send_frames_short;
    out.next_hops_crowded += port->counters().next_hops_crowded;
  }
  out.verdicts.assign(verdicts.begin(), verdicts.end());
  return out;
}

const DropCounters& FastPath::drops() const { return state_->drops; }

}  // namespace fg::gateway
