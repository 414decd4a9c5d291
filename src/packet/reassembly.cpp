#include "packet/reassembly.h"

#include <algorithm>

#include "packet/checksum.h"

namespace fg::packet {

Reassembler::Result Reassembler::add(Bytes fragment, Instant now) noexcept {
  Result result;
  const auto refuse = [&](Outcome outcome, Entry* entry) {
    if (entry != nullptr) result.lost += give_up(*entry);
    result.outcome = outcome;
    return result;
  };
  if (fragment.size() <= 20 || fragment[0] >> 4 != 4) return refuse(Outcome::malformed, nullptr);
  const auto* p = fragment.data();
  const std::size_t header = std::size_t{p[0] & 0xFU} * 4;
  if (header < 20 || header >= fragment.size() || load_be16(p + 2) != fragment.size())
    return refuse(Outcome::malformed, nullptr);
  const auto field = load_be16(p + 6);  // RFC 791 §3.1
  const bool is_last = (field & 0x2000) == 0;
  const std::size_t offset = std::size_t{field & 0x1FFFU} * 8;
  const auto payload = fragment.subspan(header);
  if ((is_last && offset == 0) || (!is_last && payload.size() % 8 != 0))
    return refuse(Outcome::malformed, nullptr);

  const Key key{IpAddress::from_bytes(fragment.subspan(12, 4)),
                IpAddress::from_bytes(fragment.subspan(16, 4)), load_be16(p + 4), p[9]};
  auto* entry = place_for(key, now, result.lost);
  if (entry == nullptr) return refuse(Outcome::full, nullptr);
  const auto end = offset + payload.size();
  const auto header_length = offset == 0 ? header : std::max<std::size_t>(entry->header, 20);
  if (end + header_length > kPacketMax || entry->size.value_or(0) + header_length > kPacketMax)
    return refuse(Outcome::oversized, entry);
  if ((is_last && entry->size) || (entry->size && end > *entry->size))
    return refuse(Outcome::overlap, entry);
  for (auto unit = offset / 8; unit < (end + 7) / 8; ++unit) {
    if (entry->units.test(unit)) return refuse(Outcome::overlap, entry);
    entry->units.set(unit);
  }
  if (is_last) {
    entry->size = end;
    if ((entry->units >> ((end + 7) / 8)).any()) return refuse(Outcome::overlap, entry);
  }
  std::ranges::copy(payload, entry->bytes.data() + kHeaderMax + offset);
  if (offset == 0) {
    entry->header = header;
    std::copy_n(p, header, entry->bytes.data() + kHeaderMax - header);
  }
  ++entry->fragments;
  result.outcome = Outcome::kept;
  if (entry->size && entry->units.count() == (*entry->size + 7) / 8) {
    result.outcome = Outcome::complete;
    result.whole = finish(*entry);
  }
  return result;
}

Reassembler::Entry* Reassembler::place_for(const Key& key, Instant now,
                                           std::size_t& lost) noexcept {
  Entry* place = nullptr;
  for (auto& entry : entries_) {
    if (entry.state == State::waiting && now - entry.began >= kLifetime) lost += give_up(entry);
    if (entry.state == State::waiting && entry.key == key) return &entry;
    const auto is_better = [&] {
      if (entry.state == State::complete) return false;
      if (place == nullptr || entry.state == State::empty) return true;
      return place->state == State::waiting && entry.began < place->began;
    };
    if (is_better()) place = &entry;
  }
  if (place == nullptr) return nullptr;
  lost += give_up(*place);
  place->state = State::waiting;
  place->key = key;
  place->began = now;
  return place;
}

std::size_t Reassembler::give_up(Entry& entry) noexcept {
  const auto fragments = entry.state == State::waiting ? entry.fragments : 0;
  entry.state = State::empty;
  entry.fragments = 0;
  entry.units.reset();
  entry.header = 0;
  entry.size.reset();
  return fragments;
}

// The first fragment's header, for the whole.
MutableBytes Reassembler::finish(Entry& entry) noexcept {
  entry.state = State::complete;
  auto* header = entry.bytes.data() + kHeaderMax - entry.header;
  const auto length = entry.header + *entry.size;
  store_be16(header + 2, static_cast<std::uint16_t>(length));
  store_be16(header + 6, 0);
  store_be16(header + 10, 0);
  store_be16(header + 10, packet::finish(sum_of({header, entry.header})));
  return {header, length};
}

void Reassembler::release() noexcept {
  for (auto& entry : entries_) {
    if (entry.state == State::complete) (void)give_up(entry);
  }
}

std::size_t Reassembler::waiting() const noexcept {
  return static_cast<std::size_t>(std::ranges::count(entries_, State::waiting, &Entry::state));
}

}  // namespace fg::packet
