// Random operations against a flat list of grants that is searched from end to end.
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>

#include "control/acl/access.h"

namespace fg::acl {
namespace {

constexpr ProcessStart kStart{Instant{0s}, WallTime{1'000s}};

ClientId client(int n) {
  return ClientId{std::array<std::uint8_t, 16>{static_cast<std::uint8_t>(n)}};
}
ResourceId resource(int n) {
  return ResourceId{std::array<std::uint8_t, 16>{static_cast<std::uint8_t>(n)}};
}

struct FlatGrant {
  int client;
  int resource;
  int network;
  std::optional<int> expires;  // seconds after process start
  friend bool operator==(const FlatGrant&, const FlatGrant&) = default;
};
using Flat = std::vector<FlatGrant>;

Grant message(const FlatGrant& flat, GrantStyle style) {
  Grant out;
  out.client = client(flat.client);
  out.v4 = IpAddress::v4(100, 64, 0, static_cast<std::uint8_t>(flat.client));
  out.v6 = IpAddress::v6({0xFD, 0, 0x20, 0x21, 0x11, 0x11, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                          static_cast<std::uint8_t>(flat.client)});
  out.resource.id = resource(flat.resource);
  out.resource.network = Cidr{IpAddress::v4(10, static_cast<std::uint8_t>(flat.network), 0, 0), 16};
  if (flat.expires) out.expires_at = 1'000 + *flat.expires;
  out.style = style;
  return out;
}

// The set of (client, network) that can be reached.
void compare(const AccessList& list, const Flat& flat) {
  for (int c = 0; c < 3; ++c) {
    const auto policy = filter::Policy::compile(list.rules_for(client(c)));
    const auto holds = [&](const FlatGrant& g) { return g.client == c; };
    RC_ASSERT(list.has(client(c)) == std::ranges::any_of(flat, holds));
    RC_ASSERT(
        list.client_for(IpAddress::v4(100, 64, 0, static_cast<std::uint8_t>(c))).has_value() ==
        list.has(client(c)));
    for (int n = 0; n < 3; ++n) {
      const bool want = std::ranges::any_of(
          flat, [&](const FlatGrant& g) { return g.client == c && g.network == n; });
      RC_ASSERT(policy->reaches(IpAddress::v4(10, static_cast<std::uint8_t>(n), 0, 1)) == want);
    }
  }
  std::optional<int> next;
  for (const auto& g : flat) {
    if (g.expires) next = std::min(next.value_or(*g.expires), *g.expires);
  }
  const auto wakeup = list.next_expiry();
  RC_ASSERT(wakeup.has_value() == next.has_value());
  if (next) RC_ASSERT(wakeup->at == Instant{std::chrono::seconds{*next}});
}

FlatGrant arbitrary_grant() {
  FlatGrant out{*rc::gen::inRange(0, 3), *rc::gen::inRange(0, 3), *rc::gen::inRange(0, 3),
                std::nullopt};
  if (*rc::gen::inRange(0, 4) != 0) out.expires = *rc::gen::inRange(1, 30);
  return out;
}

// Equal old-style grants are one, with the later end.
void extend(Flat& flat, const FlatGrant& grant) {
  for (auto& g : flat) {
    if (g.client != grant.client || g.resource != grant.resource || g.network != grant.network)
      continue;
    g.expires = g.expires && grant.expires ? std::optional{std::max(*g.expires, *grant.expires)}
                                           : std::nullopt;
    return;
  }
  flat.push_back(grant);
}

void step(AccessList& list, Flat& flat, int now) {
  const Instant instant{std::chrono::seconds{now}};
  const auto g = arbitrary_grant();
  const auto same_pair = [&](const FlatGrant& o) {
    return o.client == g.client && o.resource == g.resource;
  };
  switch (*rc::gen::inRange(0, 7)) {
    case 0:
    case 1:
      RC_ASSERT(list.grant(message(g, GrantStyle::replace), instant).has_value());
      std::erase_if(flat, same_pair);
      flat.push_back(g);
      break;
    case 2:
    case 3:
      RC_ASSERT(list.grant(message(g, GrantStyle::extend), instant).has_value());
      extend(flat, g);
      break;
    case 4:
      list.reject(client(g.client), resource(g.resource));
      std::erase_if(flat, same_pair);
      break;
    case 5: {
      const auto expires = g.expires.value_or(5);
      list.retain({{client(g.client), resource(g.resource), 1'000 + expires}}, instant);
      std::erase_if(flat, [&](const FlatGrant& o) { return !same_pair(o); });
      for (auto& o : flat) o.expires = expires;
      break;
    }
    default: {
      const auto expires = g.expires.value_or(5);
      const bool known =
          list.set_expiry(client(g.client), resource(g.resource), 1'000 + expires, instant);
      RC_ASSERT(known == std::ranges::any_of(flat, same_pair));
      for (auto& o : flat) {
        if (same_pair(o)) o.expires = expires;
      }
    }
  }
}

RC_GTEST_PROP(AccessProperty, BehavesLikeAFlatListOfGrants, ()) {
  AccessList list{kStart};
  Flat flat;
  for (int now = 1; now < 30; ++now) {
    step(list, flat, now);
    compare(list, flat);
    list.expire(Instant{std::chrono::seconds{now}});
    std::erase_if(flat, [&](const FlatGrant& g) { return g.expires && *g.expires <= now; });
    compare(list, flat);
  }
}

}  // namespace
}  // namespace fg::acl
