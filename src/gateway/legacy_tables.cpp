#include "gateway/legacy_tables.h"

#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/netfilter_ipv6/ip6_tables.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <string_view>

#include "io/kernel/file_descriptor.h"

namespace fg::gateway {
namespace {

constexpr const char* kFilter = "filter";
constexpr std::size_t kTableMax = 64U << 20;
constexpr int kDrop = -NF_DROP - 1;
constexpr int kReturn = XT_RETURN;

struct V4 {
  using Entry = ipt_entry;
  using Info = ipt_getinfo;
  using Entries = ipt_get_entries;
  static constexpr int kLevel = IPPROTO_IP;
  static constexpr int kGetInfo = IPT_SO_GET_INFO;
  static constexpr int kGetEntries = IPT_SO_GET_ENTRIES;
  static constexpr const char* kNames = "/proc/net/ip_tables_names";
  static const auto& match(const Entry& entry) { return entry.ip; }
  static bool is_inverted(const ipt_ip& ip) {
    return (ip.invflags & (IPT_INV_VIA_IN | IPT_INV_VIA_OUT)) != 0;
  }
};
struct V6 {
  using Entry = ip6t_entry;
  using Info = ip6t_getinfo;
  using Entries = ip6t_get_entries;
  static constexpr int kLevel = IPPROTO_IPV6;
  static constexpr int kGetInfo = IP6T_SO_GET_INFO;
  static constexpr int kGetEntries = IP6T_SO_GET_ENTRIES;
  static constexpr const char* kNames = "/proc/net/ip6_tables_names";
  static const auto& match(const Entry& entry) { return entry.ipv6; }
  static bool is_inverted(const ip6t_ip6& ip) {
    return (ip.invflags & (IP6T_INV_VIA_IN | IP6T_INV_VIA_OUT)) != 0;
  }
};

// The bytes under the mask are the name, its end included unless it was given as "tun+".
bool names(const char* name, const unsigned char* mask, const std::string& interface) {
  if (mask[0] == 0) return false;
  for (std::size_t i = 0; i < IFNAMSIZ; ++i) {
    const char wanted = i < interface.size() ? interface[i] : '\0';
    if (((name[i] ^ wanted) & mask[i]) != 0) return false;
  }
  return true;
}

template <class T>
bool is_zero(const T& value) {
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(&value);
  return std::all_of(bytes, bytes + sizeof value, [](std::uint8_t b) { return b == 0; });
}

struct Rule {
  std::size_t size = 0;
  bool is_unconditional = false;
  bool is_about_interface = false;
  std::string_view target;  // empty: the verdict counts
  int verdict = 0;
};

template <class Kind>
std::optional<Rule> rule_at(Bytes table, std::size_t at, const std::string& interface) {
  typename Kind::Entry entry;
  if (at > table.size() || table.size() - at < sizeof entry) return std::nullopt;
  std::memcpy(&entry, table.data() + at, sizeof entry);
  xt_entry_target target;
  const std::size_t room = entry.next_offset > entry.target_offset
                               ? std::size_t{entry.next_offset} - entry.target_offset
                               : 0;
  if (entry.next_offset > table.size() - at || entry.target_offset < sizeof entry ||
      room < sizeof target)
    return std::nullopt;
  std::memcpy(&target, table.data() + at + entry.target_offset, sizeof target);
  const auto& match = Kind::match(entry);
  Rule out;
  out.size = entry.next_offset;
  out.is_unconditional = entry.target_offset == sizeof entry && is_zero(match);
  out.is_about_interface =
      !Kind::is_inverted(match) && (names(match.iniface, match.iniface_mask, interface) ||
                                    names(match.outiface, match.outiface_mask, interface));
  const auto* name = reinterpret_cast<const char*>(table.data() + at + entry.target_offset) +
                     offsetof(xt_entry_target, u.user.name);
  out.target = {name, ::strnlen(name, sizeof target.u.user.name)};
  if (room >= sizeof(xt_standard_target)) {
    std::memcpy(&out.verdict,
                table.data() + at + entry.target_offset + offsetof(xt_standard_target, verdict),
                sizeof out.verdict);
  }
  return out;
}

// Accepts, or leads to a chain of somebody's own.
bool lets_pass(const Rule& rule) {
  return rule.target.empty() && rule.verdict != kDrop && rule.verdict != kReturn;
}

template <class Kind>
std::optional<std::string> refusal(const LegacyTable& table, const std::string& interface) {
  for (std::size_t at = 0; at < table.entries.size();) {
    const auto rule = rule_at<Kind>(table.entries, at, interface);
    if (!rule || rule->size == 0) break;
    if (rule->is_about_interface && lets_pass(*rule)) return std::nullopt;
    at += rule->size;
  }
  for (auto at = table.forward_first; at <= table.forward_last;) {
    const auto rule = rule_at<Kind>(table.entries, at, interface);
    if (!rule || rule->size == 0) return std::nullopt;
    if (rule->is_unconditional) {
      if (rule->target == "REJECT") return "a last rule REJECT";
      if (rule->target.empty() && rule->verdict == kDrop)
        return at == table.forward_last ? "policy drop" : "a last rule drop";
    }
    at += rule->size;
  }
  return std::nullopt;
}

bool has_filter(const char* names) {
  std::ifstream in{names};
  for (std::string line; std::getline(in, line);) {
    if (line == kFilter) return true;
  }
  return false;
}

template <class Kind>
std::optional<std::string> look(Family family, const std::string& interface) {
  if (!has_filter(Kind::kNames)) return std::nullopt;
  const io::kernel::FileDescriptor fd{
      ::socket(family == Family::v4 ? AF_INET : AF_INET6, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW)};
  typename Kind::Info info{};
  std::strncpy(info.name, kFilter, sizeof info.name - 1);
  socklen_t length = sizeof info;
  if (!fd.is_open() || ::getsockopt(fd.get(), Kind::kLevel, Kind::kGetInfo, &info, &length) != 0 ||
      info.size > kTableMax)
    return std::nullopt;
  ByteVector buffer(sizeof(typename Kind::Entries) + info.size);
  auto* asked = reinterpret_cast<typename Kind::Entries*>(buffer.data());
  std::strncpy(asked->name, kFilter, sizeof asked->name - 1);
  asked->size = info.size;
  length = static_cast<socklen_t>(buffer.size());
  // Fails when the table was changed meanwhile: looked at again with the next change or minute.
  if (::getsockopt(fd.get(), Kind::kLevel, Kind::kGetEntries, asked, &length) != 0)
    return std::nullopt;
  return refusal_in({.family = family,
                     .entries = Bytes{buffer}.subspan(sizeof(typename Kind::Entries)),
                     .forward_first = info.hook_entry[NF_INET_FORWARD],
                     .forward_last = info.underflow[NF_INET_FORWARD]},
                    interface);
}

}  // namespace

std::optional<std::string> refusal_in(const LegacyTable& table, const std::string& interface) {
  return table.family == Family::v4 ? refusal<V4>(table, interface) : refusal<V6>(table, interface);
}

std::vector<std::string> legacy_obstacles(const std::string& interface) {
  std::vector<std::string> out;
  const auto add = [&](const std::optional<std::string>& found, const std::string& program) {
    if (!found) return;
    out.push_back("the firewall does not forward clients' packets: chain 'FORWARD' of " + program +
                  " has " + *found + " and no rule that accepts '" + interface + "'; run '" +
                  program + " -I FORWARD -i " + interface + " -j ACCEPT' and '" + program +
                  " -I FORWARD -o " + interface + " -j ACCEPT'");
  };
  add(look<V4>(Family::v4, interface), "iptables-legacy");
  add(look<V6>(Family::v6, interface), "ip6tables-legacy");
  return out;
}

}  // namespace fg::gateway
