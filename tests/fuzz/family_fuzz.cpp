// A packet that changes its family is as right or wrong as it was, and back again it is the same;
// an error about one is always right.
#include "nat/family.h"
#include "packet/checksum.h"
#include "tests/fuzz/support.h"

namespace {

using namespace fg;
using namespace fg::nat;
using packet::InnerPacket;

const auto kV4 = IpAddress::v4(192, 0, 2, 1);
const auto kV4Client = IpAddress::v4(100, 64, 0, 2);
const auto kV6 = IpAddress::v6({0x20, 1, 0x0D, 0xB8});
const auto kV6Client = IpAddress::v6({0xFD, 0, 0x20, 0x21, 0x11, 0x11});

FamilyChange into(bool v4, std::uint16_t port) {
  return {v4 ? kV4Client : kV6Client, v4 ? kV4 : kV6, port, std::nullopt};
}

void run(Bytes input) {
  fuzz::Choices choices{input};
  const auto port = choices.u16();
  const auto bytes = copy_of(choices.take(packet::kPacketMax));
  const auto parsed = InnerPacket::parse(bytes);
  if (!parsed) return;

  ByteVector there(kCrossedMax);
  there.resize(change_family(*parsed, into(!parsed->is_v4(), port), there));
  if (!there.empty()) {
    const auto crossed = InnerPacket::parse(there, kCrossedMax);
    FG_LAW(crossed.has_value() && crossed->family() != parsed->family());
    FG_LAW(crossed->proto_class().kind == parsed->proto_class().kind);
    FG_LAW(crossed->traffic_class() == parsed->traffic_class() && crossed->ttl() == parsed->ttl());
    FG_LAW(crossed->proto_class().source == port);
    FG_LAW(std::ranges::equal(crossed->payload(), parsed->payload()));
    // An IPv4 header's own checksum is not carried over.
    auto right = copy_of(bytes);
    if (parsed->is_v4()) {
      store_be16(right.data() + 10, 0);
      store_be16(right.data() + 10,
                 packet::finish(packet::sum_of(Bytes{right}.first(parsed->ip_header_length()))));
    }
    const bool was_right = InnerPacket::parse(right)->has_valid_checksums();
    FG_LAW(crossed->has_valid_checksums() == was_right);
    ByteVector back(kCrossedMax);
    back.resize(change_family(
        *crossed, {parsed->source(), parsed->destination(), parsed->proto_class().source, {}},
        back));
    // UDP without checksum has one now.
    if (!back.empty()) {
      const auto again = InnerPacket::parse(back, kCrossedMax);
      FG_LAW(again && std::ranges::equal(again->payload(), parsed->payload()));
      FG_LAW(again->proto_class() == parsed->proto_class());
    }
  }

  const auto error = parsed->icmp_error();
  if (!error) return;
  const bool to_v4 = !parsed->is_v4();
  ByteVector out(packet::kPacketMax);
  out.resize(
      change_error_family(*error, {to_v4 ? kV4 : kV6, to_v4 ? kV4Client : kV6Client, port}, out));
  if (out.empty()) return;
  const auto written = InnerPacket::parse(out);
  FG_LAW(written.has_value() && written->has_valid_checksums() && written->is_icmp());
  if (const auto again = written->icmp_error()) {
    FG_LAW(again->quoted.kind == error->quoted.kind && again->quoted.source == port);
    FG_LAW(again->quoted_destination == (to_v4 ? kV4 : kV6));
  }
}

}  // namespace

FG_FUZZ_TARGET(run)
