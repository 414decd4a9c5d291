#include <algorithm>
#include <cstdio>

#include "crypto/aead.h"

namespace fg::crypto {
namespace {

constexpr std::size_t kSmall = 64;
constexpr std::size_t kLarge = 1280;  // spec connectivity 1.7: largest inner packet
constexpr int kRounds = 5;            // the best counts: noise only adds
constexpr int kPacketsPerRound = 200;

template <class Packet>
double best_ns(const std::function<Instant()>& clock, Packet packet) {
  for (int i = 0; i < kPacketsPerRound / 4; ++i) packet();
  Duration best = Duration::max();
  for (int round = 0; round < kRounds; ++round) {
    const Instant start = clock();
    for (int i = 0; i < kPacketsPerRound; ++i) packet();
    best = std::min(best, clock() - start);
  }
  return static_cast<double>(best.count()) / kPacketsPerRound;
}

struct Pair {
  double seal = 0;
  double open = 0;
};
Pair measure(AeadEngine& engine, std::size_t size, const std::function<Instant()>& clock) {
  const Secret<kAeadKeySize> key;
  AeadKey sealing(engine, AeadDirection::seal, key);
  AeadKey opening(engine, AeadDirection::open, key);
  std::array<std::uint8_t, kLarge> text{};
  std::array<std::uint8_t, kLarge> sealed{};
  Tag tag{};
  const MutableBytes in_place = MutableBytes{text}.first(size);
  Pair out;
  out.seal = best_ns(clock, [&] { sealing.seal(1, in_place, tag.data()); });
  text.fill(0);
  sealing.seal(1, in_place, tag.data());
  sealed = text;
  bool ok = true;
  // Opening consumes the ciphertext; the copy costs every provider the same.
  out.open = best_ns(clock, [&] {
    std::copy_n(sealed.begin(), size, text.begin());
    ok = opening.open(1, in_place, tag.data()) && ok;
  });
  if (!ok) out.open = out.seal = 1e12;  // a library that cannot read itself is never chosen
  return out;
}

AeadProvider fastest(const std::vector<AeadMeasurement>& all, double AeadMeasurement::* what) {
  return std::min_element(all.begin(), all.end(),
                          [what](const auto& a, const auto& b) { return a.*what < b.*what; })
      ->provider;
}

}  // namespace

AeadReport choose_aead(const std::function<Instant()>& clock, std::optional<AeadProvider> forced) {
  AeadReport report;
  if (forced) {
    report.choice = AeadChoice::only(is_available(*forced) ? *forced : AeadProvider::sodium);
    return report;
  }
  for (const AeadProvider provider : kAeadProviders) {
    if (!is_available(provider)) continue;
    AeadEngine engine(AeadChoice::only(provider));
    const Pair small = measure(engine, kSmall, clock);
    const Pair large = measure(engine, kLarge, clock);
    report.measured.push_back({provider, small.seal, large.seal, small.open, large.open});
  }
  report.choice = {fastest(report.measured, &AeadMeasurement::seal_small_ns),
                   fastest(report.measured, &AeadMeasurement::seal_large_ns),
                   fastest(report.measured, &AeadMeasurement::open_small_ns),
                   fastest(report.measured, &AeadMeasurement::open_large_ns)};
  return report;
}

std::string AeadReport::to_string() const {
  std::string out = "seal ";
  out.append(name_of(choice.seal_small)).append("/").append(name_of(choice.seal_large));
  out.append(" open ")
      .append(name_of(choice.open_small))
      .append("/")
      .append(name_of(choice.open_large));
  for (const AeadMeasurement& m : measured) {
    char line[96];
    std::snprintf(line, sizeof line, "; %s %.0f/%.0f %.0f/%.0f ns",
                  std::string(name_of(m.provider)).c_str(), m.seal_small_ns, m.seal_large_ns,
                  m.open_small_ns, m.open_large_ns);
    out.append(line);
  }
  return out;
}

}  // namespace fg::crypto
