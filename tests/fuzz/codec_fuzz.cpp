// A portal message: the first byte chooses the event, the rest is the payload. What is accepted
// keeps every limit, and the answers made from it are JSON whose texts survive.
#include "control/portal/codec.h"
#include "control/portal/json.h"
#include "tests/fuzz/support.h"

namespace {

using namespace fg;
using namespace fg::portal;

constexpr std::array<std::string_view, 13> kEvents{"init",
                                                   "request_connection",
                                                   "allow_access",
                                                   "authorize_flow",
                                                   "create_authorization",
                                                   "reject_access",
                                                   "resource_updated",
                                                   "access_authorization_expiry_updated",
                                                   "ice_candidates",
                                                   "invalidate_ice_candidates",
                                                   "relays_presence",
                                                   "unheard_of",
                                                   ""};

// Our answer to it, whatever it says.
void answer(const Egress& egress, std::string_view must_contain) {
  const auto message = serialize(egress);
  const auto payload = parse_json(message.payload);
  FG_LAW(payload && payload->is_object());
  ObjectReader from(*payload);
  if (!must_contain.empty()) FG_LAW(from.text("ref") == must_contain);
  const auto framed = parse_json(frame("gateway", message.event, message.payload, 7));
  FG_LAW(framed && framed->members.size() == 4);
}

void check(const Resource& resource) {
  FG_LAW(resource.filters.size() <= kFiltersMax);
  if (resource.type == Resource::Type::cidr)
    FG_LAW(Cidr::parse(resource.network.to_string(), true) == resource.network);
}
void check(const std::vector<Relay>& relays) {
  FG_LAW(relays.size() <= kRelaysMax);
  for (const auto& relay : relays) {
    FG_LAW(relay.v4 || relay.v6);
    FG_LAW((!relay.v4 || relay.v4->ip.is_v4()) && (!relay.v6 || relay.v6->ip.is_v6()));
    FG_LAW(std::ranges::count(relays, relay.id, &Relay::id) == 1);
  }
}
void check(const Peer& peer) { FG_LAW(peer.v4.is_v4() && peer.v6.is_v6()); }
void check(const std::optional<Domain>& domain) {
  FG_LAW(!domain || domain->proxy_ips.size() <= kProxyIpsMax);
}

struct Check {
  void operator()(const Init& m) const {
    FG_LAW(m.v4.is_v4() && m.v6.is_v6());
    check(m.relays);
    FG_LAW(!m.authorizations || m.authorizations->size() <= kAuthorizationsMax);
  }
  void operator()(const RequestConnection& m) const {
    check(m.resource);
    check(m.client);
    check(m.domain);
    answer(ConnectionReady{m.ref, m.client_ice, DomainResponse{m.domain ? m.domain->name : "", {}}},
           m.ref);
  }
  void operator()(const AllowAccess& m) const {
    FG_LAW(m.client_v4.is_v4() && m.client_v6.is_v6());
    check(m.resource);
    check(m.domain);
    answer(ConnectionReady{m.ref, std::nullopt, std::nullopt}, m.ref);
  }
  void operator()(const Authorize& m) const {
    check(m.resource);
    check(m.client);
    FG_LAW(!m.use_iceless || m.dialect == Authorize::Dialect::create_authorization);
    answer(Authorized{m.dialect, m.ref}, m.ref);
  }
  void operator()(const RejectAccess&) const {}
  void operator()(const ResourceUpdated& m) const { check(m.resource); }
  void operator()(const ExpiryUpdated& m) const { FG_LAW(m.expires_at >= 0); }
  void operator()(const IceCandidates& m) const {
    FG_LAW(m.candidates.size() <= kCandidatesMax);
    answer(BroadcastCandidates{m.client, m.candidates, m.invalidated}, {});
  }
  void operator()(const RelaysPresence& m) const {
    FG_LAW(m.disconnected.size() <= kRelaysMax);
    check(m.connected);
  }
};

void run(Bytes input) {
  if (input.empty()) return;
  const auto event = kEvents[input[0] % kEvents.size()];
  const auto payload = as_text(input.subspan(1));
  const auto message = parse_ingress(event, payload);
  FG_LAW(message ||
         (message.error() == ParseError::unknown_event) == (input[0] % kEvents.size() >= 11) ||
         !parse_json(payload));
  if (message) std::visit(Check{}, *message);
}

}  // namespace

FG_FUZZ_TARGET(run)
