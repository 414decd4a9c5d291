// What of the packet path flow logs count: spec policy 6.2.
#include <utility>

#include "filter/policy.h"
#include "pipeline/pipeline.h"

namespace fg::pipeline {

using packet::InnerPacket;
using packet::ProtoClass;

namespace {

bool is_tracked(const ProtoClass& proto) {
  return proto.kind == ProtoClass::Kind::tcp || proto.kind == ProtoClass::Kind::udp;
}

flow::Protocol protocol_of(const ProtoClass& proto) {
  return proto.kind == ProtoClass::Kind::tcp ? flow::Protocol::tcp : flow::Protocol::udp;
}

std::uint32_t headers_of(const InnerPacket& packet) {
  return static_cast<std::uint32_t>(packet.transport_offset() + packet.transport_header_length());
}

}  // namespace

// `sent` is what goes to the resource.
void Pipeline::track_tx(const Arrival& arrival, const InnerPacket& sent,
                        const filter::Verdict& verdict, std::uint32_t name, Instant now) noexcept {
  const auto& client = *arrival.client;
  const auto& proto = arrival.packet->proto_class();
  if (!is_tracked(proto) || is_gateway(arrival.packet->destination()) || !verdict.is_allowed())
    return;
  auto& t = next_tracked(now);
  t.key.client = client.id;
  t.key.resource = client.policy->resource(verdict.resource);
  t.key.inner_client = sent.source();
  t.key.remote = sent.destination();
  t.key.client_port = sent.proto_class().source;
  t.key.remote_port = sent.proto_class().destination;
  t.key.protocol = protocol_of(proto);
  t.traffic = {.packets = 1,
               .payload_bytes = static_cast<std::uint32_t>(sent.payload().size()),
               .tcp_flags = sent.tcp_flags()};
  t.is_tx = true;
  t.path = {arrival.from->from, arrival.from->local};
  t.name = name;
  t.hash = tracker_.hash_of(t.key);
  tracker_.prefetch(t.hash);
}

// `seen` is what the resource sent, `verdict` about where the client sees it from.
void Pipeline::track_rx(const Client& client, const InnerPacket& seen,
                        const filter::Verdict& verdict, std::uint64_t packets, std::uint64_t bytes,
                        Instant now) noexcept {
  const auto& proto = seen.proto_class();
  if (!is_tracked(proto) || !verdict.is_allowed()) return;
  auto& t = next_tracked(now);
  t.key.client = client.id;
  t.key.resource = client.policy->resource(verdict.resource);
  t.key.inner_client = seen.destination();
  t.key.remote = seen.source();
  t.key.client_port = proto.destination;
  t.key.remote_port = proto.source;
  t.key.protocol = protocol_of(proto);
  t.traffic = {.packets = static_cast<std::uint32_t>(packets),
               .payload_bytes = static_cast<std::uint32_t>(bytes - packets * headers_of(seen)),
               .tcp_flags = seen.tcp_flags()};
  t.is_tx = false;
  t.hash = tracker_.hash_of(t.key);
  tracker_.prefetch(t.hash);
}

// Counted together at the end of the batch, when what they touch has come.
Pipeline::Tracked& Pipeline::next_tracked(Instant now) noexcept {
  if (tracked_used_ == tracked_.size()) flush_tracked(now);
  return tracked_[tracked_used_++];
}

void Pipeline::flush_tracked(Instant now) noexcept {
  const auto all = std::span{tracked_}.first(std::exchange(tracked_used_, 0));
  for (const auto& t : all) tracker_.prefetch_flow(t.hash);
  for (const auto& t : all) {
    if (t.is_tx)
      tracker_.on_tx(t.key, t.hash, t.path, t.traffic, t.name, now);
    else
      tracker_.on_rx(t.key, t.hash, t.traffic, now);
  }
}

}  // namespace fg::pipeline
