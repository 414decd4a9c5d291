// Arbitrary bytes as a STUN message. What parses is covered by its attributes without a gap, and
// written again attribute by attribute it is the same message; getters never read outside, which is
// for the sanitizers.
#include <cstdlib>

#include "control/stun/builder.h"
#include "control/stun/message.h"

namespace {

using namespace fg;

void require(bool law) {
  if (!law) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto m = stun::Message::parse({data, size});
  if (!m) return 0;
  ByteVector buffer(size + 8);
  stun::Builder b{buffer, m->type(), m->transaction()};
  std::size_t end = stun::kHeaderSize;
  for (auto a = m->first(); a; a = m->next(*a)) {
    require(a->at == end);
    end += 4 + (a->value.size() + 3) / 4 * 4;
    b.raw(a->type, a->value);
  }
  require(end == size);
  const auto again = b.finish();
  require(again && again->size() == size);

  (void)m->username();
  (void)m->realm();
  (void)m->nonce();
  (void)m->software();
  (void)m->error_code();
  (void)m->xor_mapped_address();
  (void)m->xor_peer_address();
  (void)m->xor_relayed_address(Family::v4);
  (void)m->xor_relayed_address(Family::v6);
  (void)m->lifetime();
  (void)m->priority();
  (void)m->channel_number();
  (void)m->ice_controlled();
  (void)m->ice_controlling();
  (void)m->requested_transport();
  (void)m->additional_address_family();
  (void)m->verify_integrity(as_bytes("key"));
  return 0;
}
