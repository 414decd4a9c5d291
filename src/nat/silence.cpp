#include "nat/silence.h"

namespace fg::nat {

SilenceWatch::SilenceWatch(const Translations& translations, Instant now,
                           const SilenceWatch* before)
    : translations_(&translations),
      states_(translations.entries().size(), State{now, {}, Instant::min()}),
      swept_(now) {
  if (before == nullptr) return;
  for (std::size_t i = 0; i < states_.size(); ++i) {
    const auto& entry = translations.entries()[i];
    const auto* old = before->translations_->find(entry.proxy);
    if (old == nullptr || *old != entry) continue;
    states_[i] = before->states_[before->index_of(*old)];
    if (states_[i].grace_started) ++waiting_;
  }
}

void SilenceWatch::on_outgoing(const Translation& proxy, Instant now) noexcept {
  auto& state = states_[index_of(proxy)];
  if (state.grace_started || now < state.quiet_until || !state.is_silent(now + kLookAhead)) return;
  state.grace_started = now;
  if (waiting_++ == 0) swept_ = now;
}

void SilenceWatch::on_incoming(const Translation& proxy, Instant now) noexcept {
  auto& state = states_[index_of(proxy)];
  state.heard = now;
  if (!state.grace_started) return;
  state.grace_started.reset();
  --waiting_;
}

bool SilenceWatch::is_due(std::size_t i, Instant now) const noexcept {
  const auto& state = states_[i];
  return state.grace_started && now - *state.grace_started >= kGrace && state.is_silent(now);
}

bool SilenceWatch::take_name(std::size_t i, Instant now) noexcept {
  const auto entries = translations_->entries();
  for (std::size_t k = 0; k < states_.size(); ++k) {
    if (entries[k].name == entries[i].name && !states_[k].is_silent(now)) return false;
  }
  for (std::size_t k = 0; k < states_.size(); ++k) {
    if (entries[k].name != entries[i].name) continue;
    if (states_[k].grace_started) --waiting_;
    states_[k].grace_started.reset();
    states_[k].quiet_until = now + kReportInterval;
  }
  return true;
}

}  // namespace fg::nat
