#include "gateway/host.h"

#include <algorithm>
#include <utility>

#include "gateway/legacy_tables.h"
#include "gateway/tracking_users.h"

namespace fg::gateway {
namespace {

std::string joined(const std::vector<std::string>& parts) {
  std::string out;
  for (const auto& part : parts) out += (out.empty() ? "" : ", ") + part;
  return out;
}

bool contains(const std::vector<std::string>& all, const std::string& one) {
  return std::ranges::find(all, one) != all.end();
}

}  // namespace

Host::Host(net::Loop& loop, HostOptions options, Log log)
    : loop_(loop),
      options_(std::move(options)),
      log_(log),
      firewall_(options_.tun_name, options_.preserved_sources),
      untracking_(options_.untracked, firewall_.table(), log_) {}

Host::~Host() {
  if (routing_) loop_.unwatch(routing_->fd());
  if (rules_) loop_.unwatch(rules_->fd());
}

Result<void, std::string> Host::open(std::shared_ptr<io::kernel::Upkeep> upkeep) {
  upkeep_ = std::move(upkeep);
  auto netlink = Netlink::open();
  if (!netlink) return fail(netlink.error().to_string() + ": allow netlink sockets (AF_NETLINK)");
  network_ = std::make_unique<HostNetwork>(std::move(*netlink), options_.tun_name);
  auto routing = NetlinkMonitor::open(NetlinkMonitor::Topic::routing);
  if (!routing) return fail(routing.error().to_string() + ": allow netlink sockets (AF_NETLINK)");
  routing_ = std::move(*routing);
  if (auto rules = NetlinkMonitor::open(NetlinkMonitor::Topic::firewall); rules) {
    rules_ = std::move(*rules);
  } else {
    log_.info("changes of the firewall are noticed once a minute only",
              {{"reason", rules.error().to_string()}});
  }
  if (options_.masquerade) {
    ports_ = {.v4 = upkeep_->udp_port(Family::v4), .v6 = upkeep_->udp_port(Family::v6)};
    firewall_.set_ports(ports_);
    if (auto installed = firewall_.install(); !installed) return installed;
    has_firewall_ = true;
  }
  for (auto* monitor : {&routing_, &rules_}) {
    if (!*monitor) continue;
    loop_.watch((*monitor)->fd(), [this, monitor] {
      (*monitor)->read([this](const HostChange& change) { take(change); });
    });
  }
  return {};
}

void Host::take(const HostChange& change) {
  using Kind = HostChange::Kind;
  const auto now = loop_.now();
  const bool ours = tun_index_ != 0 && change.index == tun_index_;
  std::optional<Instant> due;
  if (change.kind == Kind::link && change.removed && ours) {
    due = now;
  } else if (change.kind == Kind::firewall || change.kind == Kind::unknown) {
    firewall_changed_ = ruleset_changed_ = true;
    due = std::max(now + kSettle, firewall_looked_at_ + kPause);
  } else if (ours || change.kind == Kind::rule) {
    due = now + kSettle;
  }
  // Who undoes our work at once is answered once a second.
  if (due) check_at_ = std::min(check_at_, std::max(*due, mended_at_ + kPause));
  if (listener_) listener_(change);
}

Result<void, std::string> Host::configure(const IpAddress& v4, const IpAddress& v6, Instant now) {
  network_->set_addresses(v4, v6);
  check_device();
  const auto kept = network_->keep();
  if (kept.problem) return fail(*kept.problem);
  if (const auto& error = network_->error_of(Family::v4))
    log_.warn("tunnel works without IPv4: check whether the host has it (ip -4 addr)",
              {{"reason", error->to_string()}});
  if (const auto& error = network_->error_of(Family::v6))
    log_.info(
        "tunnel works without IPv6: if it is wanted, run 'sysctl -w "
        "net.ipv6.conf.all.disable_ipv6=0'",
        {{"reason", error->to_string()}});
  log_.info("tunnel addresses set", {{"ipv4", v4}, {"ipv6", v6}});
  check_at_ = now;
  return {};
}

void Host::on_turn(Instant now) {
  if (legacy_glance_at_ <= now) {
    legacy_glance_at_ = now + kLegacyGlance;
    if (legacy_tracking_user() != legacy_user_) {
      legacy_read_at_.reset();
      check_at_ = now;
    }
  }
  if (check_at_ <= now) check(now);
}

void Host::check(Instant now) {
  problems_.clear();
  was_remade_ = false;
  check_device();
  check_network(now);
  check_sockets();
  check_firewall(now);
  check_tracking(now);
  say_what_changed();
  if (was_remade_) mended_at_ = now;
  if (was_remade_ && on_mended_) on_mended_();
  check_at_ = now + (problems_.empty() ? kInterval : retry_);
  if (rules_ && ruleset_changed_)
    check_at_ = std::min(check_at_, std::max(ruleset_due_, now + kPause));
  if (const auto due = untracking_.due()) check_at_ = std::min(check_at_, *due);
  retry_ = problems_.empty() ? kRetryFirst : std::min(retry_ * 2, kRetryMax);
}

void Host::check_device() {
  const auto name = upkeep_->tun_name();
  if (!name) {
    if (const auto error = upkeep_->make_tun()) {
      problems_.push_back("interface '" + options_.tun_name +
                          "' was deleted and cannot be made again (" + error->to_string() +
                          "): remove what has its name, or restart the gateway");
      return;
    }
    log_.warn("the TUN device was deleted; made again; keep other network managers off it",
              {{"name", options_.tun_name}});
    was_remade_ = true;
  } else if (*name != options_.tun_name) {
    if (auto renamed = network_->rename_back(*name); !renamed) {
      problems_.push_back(renamed.error());
      return;
    }
    log_.warn("the TUN device was renamed; renamed back; set FIREGATE_TUN_NAME for another name",
              {{"name", options_.tun_name}, {"was", *name}});
  }
  const auto link = Netlink::link(options_.tun_name);
  tun_index_ = link ? link->index : 0;
}

void Host::check_network(Instant now) {
  if (!network_->has_addresses()) return;
  const auto kept = network_->keep();
  if (!kept.made.empty()) {
    log_.warn("the tunnel's device or routing was changed by another program; put back",
              {{"what", joined(kept.made)}});
    mended_at_ = now;
  }
  if (kept.problem)
    problems_.push_back(*kept.problem);
  else
    for (auto& obstacle : network_->obstacles()) problems_.push_back(std::move(obstacle));
}

void Host::check_sockets() {
  const auto done = upkeep_->rebind();
  if (done.count > 0) {
    log_.warn("UDP sockets had lost their port; bound again", {{"sockets", done.count}});
    was_remade_ = true;
  }
  if (done.error) {
    problems_.push_back("a UDP socket has lost its port (" + done.error->to_string() +
                        "): stop what uses the port, or restart the gateway");
  }
}

void Host::check_firewall(Instant now) {
  if (!rules_ || !others_.is_complete) ruleset_changed_ = true;  // nobody tells
  const bool is_legacy_due = !legacy_read_at_ || now - *legacy_read_at_ >= kInterval;
  if (is_legacy_due || (ruleset_changed_ && ruleset_due_ <= now)) read_legacy(now);
  if (ruleset_changed_ && ruleset_due_ <= now) read_ruleset();
  firewall_obstacles_ = others_.obstacles;
  firewall_obstacles_.insert(firewall_obstacles_.end(), legacy_obstacles_.begin(),
                             legacy_obstacles_.end());
  if (!has_firewall_ || (!firewall_changed_ && now - firewall_looked_at_ < kInterval)) return;
  firewall_changed_ = false;
  firewall_looked_at_ = now;
  if (firewall_.is_installed()) return;
  if (auto installed = firewall_.install(); !installed) {
    problems_.push_back(installed.error());
    firewall_changed_ = true;
    return;
  }
  say_put_back(now);
  mended_at_ = now;
}

void Host::check_tracking(Instant now) {
  if (!has_firewall_) return;
  if (untracking_.decide(others_.tracking_user ? others_.tracking_user : legacy_user_, ports_,
                         now) &&
      on_tracked_)
    on_tracked_();
  legacy_glance_at_ =
      !untracking_.is_on() ? Instant::max() : std::min(legacy_glance_at_, now + kLegacyGlance);
}

// Two programs that undo each other's work do so every second: said once a minute.
void Host::say_put_back(Instant now) {
  ++put_back_unsaid_;
  if (put_back_said_at_ && now - *put_back_said_at_ < kRepeat) return;
  log_.warn("the gateway's nftables tables were changed by another program; put back",
            {{"times", std::exchange(put_back_unsaid_, 0U)}});
  put_back_said_at_ = now;
}

void Host::read_legacy(Instant now) {
  legacy_read_at_ = now;
  legacy_obstacles_ = legacy_obstacles(options_.tun_name);
  legacy_user_ = legacy_tracking_user();
}

void Host::read_ruleset() {
  const auto began = loop_.now();
  others_ = firewall_.others();
  const auto ended = loop_.now();
  ruleset_changed_ = false;
  ruleset_due_ = ended + std::max<Duration>(kPause, (ended - began) * kReadingShare);
}

void Host::say_what_changed() {
  auto all = problems_;
  all.insert(all.end(), firewall_obstacles_.begin(), firewall_obstacles_.end());
  for (const auto& problem : all) {
    if (!contains(said_, problem)) log_.warn(problem);
  }
  for (const auto& problem : said_) {
    if (!contains(all, problem)) log_.info("no longer the case", {{"what", problem}});
  }
  said_ = std::move(all);
}

void Host::clean_up() {
  untracking_.remove();
  if (has_firewall_) firewall_.remove();
  if (network_) network_->clean_up();
}

}  // namespace fg::gateway
