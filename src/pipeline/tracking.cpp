// What of the packet path flow logs count: spec policy 6.2.
#include "filter/policy.h"
#include "filter/ranges.h"
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

// `asked` is what the client sent, `sent` what goes to the resource.
void Pipeline::track_tx(const Client& client, const InnerPacket& asked, const InnerPacket& sent,
                        const ReceivedDatagrams& from, Instant now) noexcept {
  const auto& proto = asked.proto_class();
  if (!is_tracked(proto) || is_gateway(asked.destination())) return;
  const auto verdict =
      client.policy->classify(asked.destination(), key_of(proto, proto.destination));
  if (!verdict.is_allowed()) return;
  auto name = flow::kNoName;
  if (client.translations != nullptr && filter::is_proxy(asked.destination())) {
    const auto* translation = client.translations->find(asked.destination());
    if (translation != nullptr) name = flow_name_of(translation->name);
  }
  const flow::Key key{.client = client.id,
                      .resource = client.policy->resource(verdict.resource),
                      .inner_client = sent.source(),
                      .remote = sent.destination(),
                      .client_port = sent.proto_class().source,
                      .remote_port = sent.proto_class().destination,
                      .protocol = protocol_of(proto)};
  tracker_.on_tx(key, {from.from, from.local},
                 {.packets = 1,
                  .payload_bytes = static_cast<std::uint32_t>(sent.payload().size()),
                  .tcp_flags = sent.tcp_flags()},
                 name, now);
}

// `seen` is what the resource sent, `source` where the client sees it from.
void Pipeline::track_rx(const Client& client, const InnerPacket& seen, const IpAddress& source,
                        std::uint64_t packets, std::uint64_t bytes, Instant now) noexcept {
  const auto& proto = seen.proto_class();
  if (!is_tracked(proto) || is_gateway(source)) return;
  const auto verdict = client.policy->classify(source, key_of(proto, proto.source));
  if (!verdict.is_allowed()) return;
  const flow::Key key{.client = client.id,
                      .resource = client.policy->resource(verdict.resource),
                      .inner_client = seen.destination(),
                      .remote = seen.source(),
                      .client_port = proto.destination,
                      .remote_port = proto.source,
                      .protocol = protocol_of(proto)};
  tracker_.on_rx(key,
                 {.packets = static_cast<std::uint32_t>(packets),
                  .payload_bytes = static_cast<std::uint32_t>(bytes - packets * headers_of(seen)),
                  .tcp_flags = seen.tcp_flags()},
                 now);
}

}  // namespace fg::pipeline
