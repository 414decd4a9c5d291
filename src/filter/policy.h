// What one client may reach, compiled once on the control thread and then only read by its worker:
// an address finds its innermost network by binary search over disjoint intervals, the network
// knows for each protocol class and port which resource permits it, and outer networks are asked in
// turn. A packet is allowed iff at least one resource whose network contains the address permits
// its class (spec policy 3.4, 9.8). Outbound the destination address and port are asked, inbound
// the source's. Own-address and tunnel-range checks (spec policy 1.4, 3.6) come before and are the
// pipeline's. Of DNS resources come single addresses, many under one filter.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/address.h"
#include "base/ids.h"

namespace fg::filter {

inline constexpr std::size_t kRulesMax = 16'384;        // per policy
inline constexpr std::size_t kHostsMax = 262'144;       // per policy, all host rules together
inline constexpr std::size_t kPortRangesMax = 262'144;  // per policy, all rules together

// Protocol class of a packet (spec policy 0.3).
enum class ProtoKind : std::uint8_t { tcp, udp, echo, icmp_other, other_ip };
struct ProtoKey {
  ProtoKind kind = ProtoKind::other_ip;
  std::uint16_t port = 0;  // tcp and udp only
};

// Inclusive at both ends; first > last matches nothing (spec policy 3.2).
struct PortRange {
  std::uint16_t first = 0;
  std::uint16_t last = 65535;
  friend bool operator==(const PortRange&, const PortRange&) = default;
};
struct RuleFilter {
  bool everything = false;  // every IP protocol; the rest is then ignored
  std::vector<PortRange> tcp;
  std::vector<PortRange> udp;
  bool icmp = false;
  friend bool operator==(const RuleFilter&, const RuleFilter&) = default;
};
struct Rule {
  Cidr network;
  ResourceId resource;
  RuleFilter filter;
  friend bool operator==(const Rule&, const Rule&) = default;
};
// Like a rule for each address, but compiled once.
struct HostRule {
  ResourceId resource;
  RuleFilter filter;
  std::vector<IpAddress> hosts;
  friend bool operator==(const HostRule&, const HostRule&) = default;
};
struct PolicyRules {
  std::vector<Rule> rules;  // order does not matter
  std::optional<ResourceId> internet;
  std::vector<HostRule> hosts{};
  friend bool operator==(const PolicyRules&, const PolicyRules&) = default;
};

struct Verdict {
  enum class Kind : std::uint8_t {
    allowed,
    prohibited,   // no resource permits it
    unreachable,  // the Internet resource does not reach special addresses (spec policy 3.5)
  };
  Kind kind = Kind::prohibited;
  std::uint32_t resource = 0;  // allowed: index for Policy::resource()

  [[nodiscard]] bool is_allowed() const { return kind == Kind::allowed; }
  friend bool operator==(const Verdict&, const Verdict&) = default;
};

class Policy {
  static constexpr std::uint32_t kNone = 0xFFFFFFFF;

 public:
  // nullptr when a limit above is exceeded. No rules: a policy that prohibits everything.
  [[nodiscard]] static std::unique_ptr<const Policy> compile(const PolicyRules& rules);

  [[nodiscard]] Verdict classify(const IpAddress& ip, ProtoKey proto) const noexcept;

  // The same in two steps: the searches of many addresses, each in its own policy, run side by
  // side, and one serves all packets of a run.
  struct Place {
    const Policy* policy = nullptr;
    IpAddress ip;
    std::uint32_t network = kNone;
  };
  static void locate(std::span<Place> places) noexcept;
  [[nodiscard]] static Verdict classify(const Place& place, ProtoKey proto) noexcept;

  // Whether the address is reached at all, on whatever port.
  [[nodiscard]] bool reaches(const IpAddress& ip) const noexcept;

  // Attribution: of the permitting resources the longest prefix, then the highest id (spec
  // policy 3.4).
  [[nodiscard]] const ResourceId& resource(std::uint32_t index) const noexcept {
    return resources_[index];
  }
  [[nodiscard]] std::size_t resource_count() const noexcept { return resources_.size(); }

 private:
  friend class PolicyCompiler;

  struct Segment {
    std::uint16_t first = 0;
    std::uint16_t last = 0;
    std::uint32_t resource = kNone;
  };
  struct SegmentSpan {
    std::uint32_t begin = 0;
    std::uint32_t end = 0;
  };
  // One distinct network; of its own rules only, outer networks are found through `outer`.
  struct Network {
    std::uint32_t all = kNone;  // this resource wins for every class: nothing else needs a look
    std::uint32_t icmp = kNone;
    std::uint32_t other = kNone;
    std::uint32_t outer = kNone;
    SegmentSpan tcp;
    SegmentSpan udp;
  };
  struct Key128 {
    std::uint64_t high = 0;
    std::uint64_t low = 0;
    friend constexpr auto operator<=>(const Key128&, const Key128&) = default;
  };
  // Interval i reaches from starts[i] to the next start; starts[0] is the lowest address.
  template <class Key>
  struct Intervals {
    std::vector<Key> starts;
    std::vector<std::uint32_t> networks;
    [[nodiscard]] std::uint32_t find(Key key) const noexcept;
  };
  template <class Key>
  class Searches;

  Policy() = default;
  [[nodiscard]] Verdict verdict_in(std::uint32_t network, ProtoKey proto) const noexcept;
  [[nodiscard]] std::uint32_t network_of(const IpAddress& ip) const noexcept;
  [[nodiscard]] std::uint32_t permitting(const Network& network, ProtoKey proto) const noexcept;
  [[nodiscard]] std::uint32_t at_port(SegmentSpan span, std::uint16_t port) const noexcept;

  Intervals<std::uint32_t> v4_;
  Intervals<Key128> v6_;
  std::vector<Network> networks_;
  std::vector<Segment> segments_;
  std::vector<ResourceId> resources_;
  std::uint32_t internet_ = kNone;
};

}  // namespace fg::filter
