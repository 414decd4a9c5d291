// An inner packet: every length in an accepted one is true, rewriting keeps its checksums as right
// or wrong as they were, and our ICMP answers are packets that can be attributed.
#include "packet/checksum.h"
#include "packet/control_message.h"
#include "packet/icmp.h"
#include "packet/inner.h"
#include "packet/rewrite.h"
#include "tests/fuzz/support.h"

namespace {

using namespace fg;
using namespace fg::packet;

using Buffer = std::array<std::uint8_t, kPacketMax>;

void answers(const InnerPacket& packet) {
  Buffer out{};
  for (const auto kind : {IcmpAnswer::prohibited, IcmpAnswer::network_unreachable}) {
    const auto size = write_icmp_answer(kind, packet, out);
    const auto answer = InnerPacket::parse(Bytes{out}.first(size));
    FG_LAW(answer && answer->has_valid_checksums() && answer->is_icmp_error_type());
    FG_LAW(answer->source() == packet.destination() && answer->destination() == packet.source());
    // A whole TCP or UDP packet can always be attributed from what we quote of it.
    const auto proto = packet.proto_class();
    const bool ports_quoted = packet.transport_offset() + 8 <= kPacketMax - 48;
    if (ports_quoted &&
        (proto.kind == ProtoClass::Kind::tcp || proto.kind == ProtoClass::Kind::udp)) {
      FG_LAW(answer->icmp_error() && answer->icmp_error()->quoted == proto);
    }
  }
  Buffer small{};
  FG_LAW(write_icmp_answer(IcmpAnswer::prohibited, packet, MutableBytes{small}.first(20)) == 0);
}

// One way of a translation, with the sums that its flow would know.
ByteVector translated(Bytes bytes, Towards towards, const IpAddress& address, std::uint16_t port) {
  auto out = copy_of(bytes);
  const auto packet = InnerPacket::parse(out);
  const bool to_resource = towards == Towards::resource;
  const auto& proto = packet->proto_class();
  const auto was_port = to_resource ? proto.source : proto.destination;
  rewrite(
      out, *packet,
      {.towards = towards,
       .address = address,
       .port = port,
       .address_change = change_of(to_resource ? packet->destination() : packet->source(), address),
       .port_change = subtract(port, was_port)});
  return out;
}

void rewriting(Bytes bytes, const InnerPacket& packet) {
  const bool valid = packet.has_valid_checksums();
  auto congested = copy_of(bytes);
  copy_congestion(congested, 3);
  FG_LAW(InnerPacket::parse(congested)->has_valid_checksums() == valid);
  const auto& proto = packet.proto_class();
  if (!proto.is_translatable()) return;

  const auto address =
      packet.is_v4() ? IpAddress::v4(10, 1, 2, 3) : IpAddress::v6({0x20, 1, 0xd, 0xb8});
  const auto to_resource = translated(bytes, Towards::resource, address, 4242);
  const auto left = InnerPacket::parse(to_resource);
  FG_LAW(left && left->source() == packet.source() && left->destination() == address);
  FG_LAW(left->has_valid_checksums() == valid && left->proto_class().source == 4242);
  FG_LAW(equal(left->payload(), packet.payload()));
  const auto to_client = translated(bytes, Towards::client, address, 4242);
  const auto came = InnerPacket::parse(to_client);
  FG_LAW(came && came->source() == address && came->destination() == packet.destination());
  FG_LAW(came->has_valid_checksums() == valid && came->proto_class().destination == 4242);
  FG_LAW(equal(came->payload(), packet.payload()));

  // There and back again: the same packet, but for the two ways to write a sum of zero.
  const auto back = translated(to_resource, Towards::resource, packet.destination(), proto.source);
  FG_LAW(InnerPacket::parse(back)->has_valid_checksums() == valid);
}

void translation(const InnerPacket& packet) {
  const auto error = packet.icmp_error();
  if (!error) return;
  FG_LAW(packet.is_icmp_error_type() && error->quoted.is_translatable());
  Buffer out{};
  const auto address =
      packet.is_v4() ? IpAddress::v4(10, 1, 2, 3) : IpAddress::v6({0x20, 1, 0xd, 0xb8});
  const auto size =
      write_translated_error(*error, {.proxy = address, .client = address, .port = 77}, out);
  FG_LAW(size <= packet.size());
  const auto translated = InnerPacket::parse(Bytes{out}.first(size));
  FG_LAW(translated && translated->has_valid_checksums() && translated->icmp_error());
  FG_LAW(translated->icmp_error()->quoted.source == 77 && translated->destination() == address);
}

void control(const InnerPacket& packet) {
  const auto message = ControlMessage::parse(packet);
  FG_LAW(!message || packet.is_control());
  if (!message) return;
  Buffer out{};
  const auto size = message->write(out);
  FG_LAW(size == kControlHeader + message->payload.size());
  const auto again = InnerPacket::parse(Bytes{out}.first(size));
  const auto read = again ? ControlMessage::parse(*again) : fail(DropReason::control_malformed);
  FG_LAW(read && read->type == message->type && equal(read->payload, message->payload));
}

void run(Bytes bytes) {
  if (const auto length = inner_length(bytes)) FG_LAW(*length <= bytes.size());
  const auto packet = InnerPacket::parse(bytes);
  if (!packet) return;
  FG_LAW(inner_length(bytes) == bytes.size() && bytes.size() <= kPacketMax);
  FG_LAW(packet->transport_offset() + packet->transport_header_length() +
             packet->payload().size() ==
         bytes.size());
  FG_LAW(packet->is_icmp_error_type() || !packet->icmp_error());
  answers(*packet);
  rewriting(bytes, *packet);
  translation(*packet);
  control(*packet);
}

}  // namespace

FG_FUZZ_TARGET(run)
