#include "nat/translations.h"

#include <algorithm>
#include <tuple>

namespace fg::nat {
namespace {

std::uint32_t key_of(const IpAddress& proxy) noexcept {
  return load_be32(proxy.raw().data() + (proxy.is_v4() ? 0 : 12));
}

bool is_before(const IpAddress& a, const IpAddress& b) {
  return std::tuple{a.family(), key_of(a), a} < std::tuple{b.family(), key_of(b), b};
}

}  // namespace

std::unique_ptr<const Translations> Translations::compile(std::vector<Translation> entries,
                                                          bool watch_silence) {
  std::ranges::reverse(entries);
  std::ranges::stable_sort(entries, is_before, &Translation::proxy);
  const auto repeated = std::ranges::unique(entries, {}, &Translation::proxy);
  entries.erase(repeated.begin(), repeated.end());
  if (entries.size() > kTranslationsMax) return nullptr;

  std::unique_ptr<Translations> out{new Translations};
  for (const auto& entry : entries)
    (entry.proxy.is_v4() ? out->v4_ : out->v6_).keys.push_back(key_of(entry.proxy));
  out->v6_.offset = out->v4_.keys.size();
  out->entries_ = std::move(entries);
  out->watch_silence_ = watch_silence;
  return out;
}

const Translation* Translations::find(const IpAddress& proxy) const noexcept {
  const auto& [keys, offset] = proxy.is_v4() ? v4_ : v6_;
  const auto key = key_of(proxy);
  for (auto i = static_cast<std::size_t>(std::ranges::lower_bound(keys, key) - keys.begin());
       i < keys.size() && keys[i] == key; ++i) {
    const auto& entry = entries_[offset + i];
    if (entry.proxy == proxy) return &entry;
  }
  return nullptr;
}

}  // namespace fg::nat
