// Host names to addresses through the name servers of /etc/resolv.conf and the hosts file, A and
// AAAA in parallel, without blocking the loop. Answers are kept for their time to live, one without
// any address for kNegativeTtl; a changed resolv.conf or hosts file is seen by the next lookup. Of
// each family at most kAddressesMax addresses are kept. Sockets carry the gateway's mark, so
// lookups never enter the tunnel.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/result.h"
#include "base/time.h"
#include "control/dns/resolved.h"
#include "control/net/loop.h"

namespace fg::net {

inline constexpr std::size_t kCachedNamesMax = 512;  // spec portal 1.4
inline constexpr Duration kCachedMax = 24h;
// c-ares does not tell how long a name may be taken to have no address (RFC 2308 §5).
inline constexpr Duration kNegativeTtl = 5s;
inline constexpr std::size_t kAddressesMax = 64;
// Who looks a name up for a client gets what there is then: just before he gives up himself (spec
// policy 4.2).
inline constexpr Duration kLookUpTime = 9s;
// How long a name server that answered one question may keep the other one's answer back from
// whoever is in a hurry.
inline constexpr Duration kOtherFamilyWait = 500ms;

struct ResolverOptions {
  std::uint32_t mark = 0;              // SO_MARK of every socket; 0: none
  std::vector<SocketAddress> servers;  // empty: /etc/resolv.conf
  std::string resolv_conf = "/etc/resolv.conf";
  std::string hosts = "/etc/hosts";  // watched for changes; c-ares knows where it is
};

class Resolver {
 public:
  // Text of the failure, e.g. "Domain name not found".
  using Answer = Result<std::vector<IpAddress>, std::string>;

  Resolver(Loop& loop, ResolverOptions options);
  ~Resolver();
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;

  enum class Families : std::uint8_t {
    both,        // whatever both questions yield
    first_best,  // what there is kOtherFamilyWait after the first answer with an address
  };
  // Never calls back before it returns. An address literal resolves to itself. Callbacks of lookups
  // that are in flight when the resolver goes away are not called.
  void resolve(const std::string& name, std::function<void(Answer)> callback,
               Families families = Families::both);
  // The same, telling by family an answer without addresses from none; after kLookUpTime at the
  // latest.
  void look_up(const std::string& name, std::function<void(dns::Resolved)> callback);

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace fg::net
