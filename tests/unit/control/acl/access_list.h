// An access list, and grants for it in few words.
#pragma once

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "control/acl/access.h"

namespace fg::acl::test {

using portal::Filter;
using portal::Resource;

// The wall clock at process start is 1'790'000'000.25 s, the monotonic one 1000 s.
inline constexpr ProcessStart kStart{Instant{1000s}, WallTime{1'790'000'000'250ms}};
inline constexpr portal::UnixSeconds kNowUnix = 1'790'000'000;
inline constexpr Instant kNow = kStart.instant + 10s;
inline constexpr Duration kSecondOfStart = 250ms;

inline ClientId client(std::uint8_t n) { return ClientId{std::array<std::uint8_t, 16>{n}}; }
inline ResourceId id(std::uint8_t n) { return ResourceId{std::array<std::uint8_t, 16>{n}}; }
inline const IpAddress k4a = IpAddress::v4(100, 64, 0, 1);
inline const IpAddress k4b = IpAddress::v4(100, 64, 0, 2);
inline const IpAddress k6a = IpAddress::parse("fd00:2021:1111::1").value();
inline const IpAddress k6b = IpAddress::parse("fd00:2021:1111::2").value();
inline const IpAddress k6c = IpAddress::parse("fd00:2021:1111::3").value();

inline Filter tcp(std::uint16_t first, std::uint16_t last) {
  return {Filter::Protocol::tcp, first, last};
}
inline Filter udp(std::uint16_t first, std::uint16_t last) {
  return {Filter::Protocol::udp, first, last};
}
inline Filter icmp() { return {Filter::Protocol::icmp, 0, 65535}; }

inline Resource cidr(std::uint8_t n, std::string_view network, std::vector<Filter> filters = {}) {
  Resource r;
  r.type = Resource::Type::cidr;
  r.id = id(n);
  r.network = Cidr::parse(network, true).value();
  r.filters = std::move(filters);
  return r;
}
inline Resource dns(std::uint8_t n, std::string pattern, std::vector<Filter> filters = {}) {
  Resource r;
  r.type = Resource::Type::dns;
  r.id = id(n);
  r.pattern = std::move(pattern);
  r.filters = std::move(filters);
  return r;
}
inline Resource internet(std::uint8_t n) {
  Resource r;
  r.type = Resource::Type::internet;
  r.id = id(n);
  return r;
}

class Access : public testing::Test {
 protected:
  static Grant newest(Resource resource,
                      std::optional<portal::UnixSeconds> expires_at = std::nullopt) {
    return {client(1),          k4a, k6a, std::move(resource), expires_at, std::nullopt,
            GrantStyle::replace};
  }
  static Grant old_style(Resource resource,
                         std::optional<portal::UnixSeconds> expires_at = std::nullopt,
                         std::optional<portal::Domain> domain = std::nullopt) {
    return {client(1),         k4a, k6a, std::move(resource), expires_at, std::move(domain),
            GrantStyle::extend};
  }
  static Grant for_client(std::uint8_t n, Grant grant) {
    grant.client = client(n);
    grant.v4 = IpAddress::v4(100, 64, 1, n);
    grant.v6 = IpAddress::parse("fd00:2021:1111::1:0").value();
    auto bytes = copy_of(grant.v6.bytes());
    bytes[15] = n;
    grant.v6 = IpAddress::from_bytes(bytes);
    return grant;
  }
  Change grant(const Grant& g) {
    auto change = list_.grant(g, kNow);
    EXPECT_TRUE(change);
    return change ? *change : Change{};
  }
  [[nodiscard]] bool allows(std::string_view address, filter::ProtoKind kind, std::uint16_t port,
                            std::uint8_t n = 1) const {
    const auto policy = filter::Policy::compile(list_.rules_for(client(n)));
    return policy->classify(IpAddress::parse(address).value(), {kind, port}).is_allowed();
  }
  [[nodiscard]] bool allows_tcp(std::string_view address, std::uint16_t port,
                                std::uint8_t n = 1) const {
    return allows(address, filter::ProtoKind::tcp, port, n);
  }
  // The moment the wall clock of process start says `unix`.
  static Instant at(portal::UnixSeconds unix) {
    return kStart.instant + std::chrono::seconds{unix - kNowUnix} - kSecondOfStart;
  }

  AccessList list_{kStart};
};

}  // namespace fg::acl::test
