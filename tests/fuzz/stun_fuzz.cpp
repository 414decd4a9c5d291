// A STUN message: whatever is accepted reads the same after it was written anew, signed and
// fingerprinted. The fingerprint at the end of an input is made right first, so that the fuzzer
// need not guess it.
#include "control/stun/builder.h"
#include "control/stun/digest.h"
#include "control/stun/message.h"
#include "packet/demux.h"
#include "tests/fuzz/support.h"

namespace {

using namespace fg;
using namespace fg::stun;

constexpr std::string_view kKey = "kvpwadif6734sdalah6lja";

void repair_fingerprint(ByteVector& bytes) {
  if (bytes.size() < kHeaderSize + 8) return;
  auto* last = bytes.data() + bytes.size() - 8;
  if (load_be32(last) != (std::uint32_t{attribute::fingerprint} << 16 | 4)) return;
  store_be32(last + 4, fingerprint_of(Bytes{bytes}.first(bytes.size() - 8)));
}

struct Read {
  std::optional<std::string_view> username, realm, nonce, software, reason;
  std::optional<int> code;
  std::optional<SocketAddress> mapped, peer, relayed_v4, relayed_v6;
  std::optional<std::uint32_t> lifetime, priority;
  std::optional<std::uint64_t> controlled, controlling;
  std::optional<std::uint16_t> channel;
  std::optional<std::uint8_t> transport, family;
  bool use_candidate = false;
  friend bool operator==(const Read&, const Read&) = default;
};

Read read(const Message& m) {
  Read out{.username = m.username(),
           .realm = m.realm(),
           .nonce = m.nonce(),
           .software = m.software(),
           .reason = {},
           .code = {},
           .mapped = m.xor_mapped_address(),
           .peer = m.xor_peer_address(),
           .relayed_v4 = m.xor_relayed_address(Family::v4),
           .relayed_v6 = m.xor_relayed_address(Family::v6),
           .lifetime = m.lifetime(),
           .priority = m.priority(),
           .controlled = m.ice_controlled(),
           .controlling = m.ice_controlling(),
           .channel = m.channel_number(),
           .transport = m.requested_transport(),
           .family = m.additional_address_family(),
           .use_candidate = m.use_candidate()};
  if (const auto error = m.error_code()) {
    out.code = error->code;
    out.reason = error->reason;
  }
  return out;
}

void check_getters(const Message& m) {
  const auto r = read(m);
  FG_LAW(!r.username || r.username->size() <= kUsernameMax);
  for (const auto& text : {r.realm, r.nonce, r.software, r.reason})
    FG_LAW(!text || text->size() <= kTextMax);
  FG_LAW(!r.code || (*r.code >= 300 && *r.code <= 699));
  FG_LAW(!r.relayed_v4 || r.relayed_v4->ip.is_v4());
  FG_LAW(!r.relayed_v6 || r.relayed_v6->ip.is_v6());
  FG_LAW(m.is(m.method(), m.type_class()) && make_type(m.method(), m.type_class()) == m.type());
}

// Everything that is covered, then our integrity and fingerprint.
std::optional<ByteVector> write_again(const Message& m) {
  ByteVector buffer(m.bytes().size() + 64);
  Builder b{buffer, m.type(), m.transaction()};
  for (auto a = m.first(); a; a = m.next(*a)) {
    if (a->type == attribute::message_integrity || a->type == attribute::fingerprint) break;
    b.raw(a->type, a->value);
  }
  b.integrity(as_bytes(kKey)).fingerprint();
  const auto written = b.finish();
  FG_LAW(written.has_value());
  if (written->size() > 65'535) return std::nullopt;
  return copy_of(*written);
}

void run(Bytes input) {
  auto bytes = copy_of(input);
  repair_fingerprint(bytes);
  const auto m = Message::parse(bytes);
  if (!m) return;
  FG_LAW(packet::classify(bytes) == packet::DatagramKind::stun);
  std::size_t end = kHeaderSize;
  for (auto a = m->first(); a; a = m->next(*a)) {
    FG_LAW(a->at == end);
    end = a->at + 4 + (a->value.size() + 3) / 4 * 4;
    FG_LAW(end <= bytes.size());
  }
  FG_LAW(end == bytes.size());
  check_getters(*m);
  FG_LAW(!m->verify_integrity(as_bytes("another key")) &&
         (m->has_integrity() || !m->verify_integrity(as_bytes(kKey))));

  auto again = write_again(*m);
  if (!again) return;
  const auto second = Message::parse(*again);
  FG_LAW(second && second->has_fingerprint() && second->verify_integrity(as_bytes(kKey)));
  FG_LAW(read(*second) == read(*m) && second->transaction() == m->transaction());
  FG_LAW(*write_again(*second) == *again);
  (*again)[input.size() % again->size()] ^= 0x10;
  const auto damaged = Message::parse(*again);
  FG_LAW(!damaged || !damaged->has_fingerprint() || !damaged->verify_integrity(as_bytes(kKey)));
}

}  // namespace

FG_FUZZ_TARGET(run)
