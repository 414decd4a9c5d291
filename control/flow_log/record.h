// One flow as it is told to people and to the ingest server (spec policy 6.4): whose it is, what it
// reached, over which outer paths, and when it has ended what it carried. The token a flow belongs
// to is in no text made here.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/ids.h"
#include "base/log.h"
#include "base/secret.h"
#include "base/time.h"
#include "control/flow_log/ingest_token.h"
#include "control/portal/messages.h"
#include "flow/tracker.h"

namespace fg::flow_log {

// Generations A and B: what the portal told of client and actor, for local output only.
struct Known {
  ClientId client;
  portal::ClientFacts facts;
  portal::Resource resource;
};
// Generation C.
struct Ingest {
  IngestClaims claims;
  SecretText token;
};
using Attribution = std::variant<Known, Ingest>;

struct Outer {
  flow::OuterPath path;
  WallTime activated;
};
struct End {
  WallTime at;
  WallTime last_packet;
  std::uint64_t rx_packets = 0;
  std::uint64_t tx_packets = 0;
  std::uint64_t rx_bytes = 0;
  std::uint64_t tx_bytes = 0;
};
struct Record {
  std::shared_ptr<const Attribution> whose;
  flow::Key key;
  std::string domain;  // DNS resources; else empty
  std::vector<Outer> outers;
  WallTime start;
  std::optional<End> end;  // none: still open
};

// "2026-11-22T17:49:52.123456789Z"
[[nodiscard]] std::string format_rfc3339(WallTime time);

// The ingest payload: compact, keys sorted.
[[nodiscard]] std::string ingest_payload(const Record& record);

// A log event (spec policy 6.4), or one line of JSON with the same members, `outers` as a list.
struct Event {
  std::string_view target;
  std::string_view message;
  std::vector<LogField> fields;
};
// None: generation B has no event for the beginning of a flow.
[[nodiscard]] std::optional<Event> event_of(const Record& record);
[[nodiscard]] std::string line_of(const Record& record, const Event& event);

}  // namespace fg::flow_log
