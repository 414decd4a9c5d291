// Policy of name lookups: how many at a time, how long each (spec policy 4.2, 8.2; portal 2.3.2).
// Who asks which server is control/net's.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/drop_reason.h"
#include "base/ids.h"
#include "base/result.h"
#include "base/time.h"
#include "control/dns/resolved.h"

namespace fg::dns {

inline constexpr std::size_t kRequestsMax = 100;         // of the portal, spec portal 2.3.2
inline constexpr std::size_t kAnnouncementsMax = 1'000;  // of all clients, spec policy 8.2
inline constexpr std::size_t kPerClientMax = 64;         // of either kind, spec policy 8.2
inline constexpr Duration kResolutionTimeout = 10s;      // spec policy 4.2

enum class ResolutionId : std::uint64_t {};

enum class Asker : std::uint8_t {
  request,       // A: what the portal asks for waits for it
  announcement,  // a client announced the name, or waits for an answer from its addresses
};

class Resolutions {
 public:
  struct Query {
    ResolutionId id{};
    std::string name;
  };
  struct Outcome {
    ResolutionId id{};
    Resolved resolved;
  };

  // Refused at the limits above.
  Result<ResolutionId, DropReason> start(std::string_view name, Asker asker, const ClientId& client,
                                         Instant now);
  // Late or unknown answers are ignored.
  void on_answer(ResolutionId id, Resolved resolved, Instant now);
  // Who waited for too long gets no answer of either family.
  void on_timeout(Instant now);

  std::optional<Query> poll_query();
  std::optional<Outcome> poll_outcome();
  [[nodiscard]] std::optional<Wakeup> wakeup() const;
  [[nodiscard]] std::size_t in_flight() const { return waiting_.size(); }

 private:
  struct Waiting {
    Instant until;
    Asker asker{};
    ClientId client;
  };
  bool end(ResolutionId id);

  std::uint64_t next_id_ = 1;
  std::map<ResolutionId, Waiting> waiting_;  // ids and deadlines grow together
  std::array<std::size_t, 2> of_asker_{};
  std::map<ClientId, std::size_t> of_client_;
  std::deque<Query> queries_;
  std::deque<Outcome> outcomes_;
  Instant last_now_{};
};

}  // namespace fg::dns
