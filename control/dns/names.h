// One client's names: which proxy address stands for which name, through which resources it is
// reached, and which real address it leads to (spec policy 4.3, 4.5.3). A model without I/O and
// without rights: what may be announced and what a resource permits is control/acl's.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/drop_reason.h"
#include "base/ids.h"
#include "base/result.h"
#include "base/time.h"
#include "control/dns/resolved.h"
#include "nat/translations.h"

namespace fg::dns {

inline constexpr std::size_t kProxiesMax = 16;     // of one announcement, spec policy 4.5.3
inline constexpr Duration kRefreshInterval = 30s;  // spec policy 4.4

using nat::NameId;

// Lower case, without a trailing dot: names are equal when this is (spec policy 4.1).
[[nodiscard]] std::string folded(std::string_view name);

// How proxies share the addresses of their name.
enum class Assignment : std::uint8_t {
  sorted,   // B/C: proxies and addresses in ascending order, each family for itself
  crossed,  // A: both as they were listed; a family without addresses borrows the other's
};

class Names {
 public:
  struct Change {
    bool mappings = false;    // where proxies lead to
    bool resources = false;   // what they are reached through
    bool renumbered = false;  // they stand for other names: what flows to them is to be forgotten
    friend bool operator==(const Change&, const Change&) = default;
  };
  struct Proxy {
    std::string name;  // folded
    NameId id{};
    std::vector<ResourceId> resources;  // sorted
    std::optional<IpAddress> real;      // none: the name has no address for it
  };
  struct Announcement {
    const ResourceId& resource;
    std::string_view name;
    std::span<const IpAddress> proxies;
  };

  // A family nobody answered for keeps what is known of it; under A an answer without any address
  // does, too. Refused, without a trace: under B/C names nobody answered for and nothing is known
  // of, and what would make weight() exceed `room`.
  Result<Change, DropReason> set_up(const Announcement& announced, const Resolved& resolved,
                                    Assignment assignment, std::size_t room);
  // The resource no longer reaches names that are not covered.
  Change restrict(const ResourceId& resource, const std::function<bool(std::string_view)>& covers);

  // spec policy 4.4: the name to be resolved again; none when it was less than kRefreshInterval
  // ago, or is unknown.
  [[nodiscard]] std::optional<std::string> start_refresh(NameId id, Instant now);
  // Folded.
  [[nodiscard]] std::optional<std::string> name_of(NameId id) const;
  // Other addresses than before are assigned anew; none, or the same in another order, change
  // nothing.
  Change refresh(NameId id, const Resolved& resolved);

  [[nodiscard]] const std::map<IpAddress, Proxy>& proxies() const { return proxies_; }
  [[nodiscard]] std::vector<nat::Translation> translations() const;
  // Proxies, each as often as resources reach it.
  [[nodiscard]] std::size_t weight() const { return weight_; }
  [[nodiscard]] std::size_t weight_with(const Announcement& announced) const;

 private:
  struct Name {
    NameId id{};
    std::vector<IpAddress> proxies;  // never empty: the last one takes the name along
    std::vector<IpAddress> v4;
    std::vector<IpAddress> v6;
    std::optional<Instant> refreshed_at;
  };

  [[nodiscard]] bool renumbers(std::string_view name, std::span<const IpAddress> proxies) const;
  void clear();
  void take_from_other_names(std::string_view name, std::span<const IpAddress> proxies);
  void assign(const Name& name, std::span<const IpAddress> proxies, Assignment assignment,
              Change& change);

  std::map<IpAddress, Proxy> proxies_;
  std::map<std::string, Name, std::less<>> names_;  // by their folded form
  std::map<NameId, std::string> by_id_;
  std::uint32_t next_id_ = 1;
  std::size_t weight_ = 0;
};

}  // namespace fg::dns
