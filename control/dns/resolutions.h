// Policy of name lookups: how many at a time, how long each, in which order the answers come (spec
// portal 2.3.2). Who asks which server is control/net's.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/time.h"

namespace fg::dns {

inline constexpr std::size_t kResolutionsMax = 100;  // spec portal 2.3.2
inline constexpr Duration kResolutionTimeout = 10s;  // spec portal 2.3.2

enum class ResolutionId : std::uint64_t {};

class Resolutions {
 public:
  struct Query {
    ResolutionId id{};
    std::string name;
  };
  // Failure and timeout are an empty list.
  struct Result {
    ResolutionId id{};
    std::vector<IpAddress> addresses;  // IPv6 first, then IPv4, each as the resolver ordered them
  };

  // None: kResolutionsMax are in flight.
  std::optional<ResolutionId> start(std::string_view name, Instant now);
  // Addresses of both families in any order; empty on failure. Late or unknown answers are ignored.
  void on_answer(ResolutionId id, const std::vector<IpAddress>& addresses, Instant now);
  void on_timeout(Instant now);

  std::optional<Query> poll_query();
  std::optional<Result> poll_result();
  [[nodiscard]] std::optional<Wakeup> wakeup() const;
  [[nodiscard]] std::size_t in_flight() const { return deadlines_.size(); }

 private:
  std::uint64_t next_id_ = 1;
  std::map<ResolutionId, Instant> deadlines_;  // ids and deadlines grow together
  std::deque<Query> queries_;
  std::deque<Result> results_;
  Instant last_now_{};
};

}  // namespace fg::dns
