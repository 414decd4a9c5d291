// Which names a client of generation A sends to without being answered, so that they are resolved
// again (spec policy 4.4). One state a proxy address; a name counts when none of its proxies was
// answered. A name is reported at most every 30 s.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "base/time.h"
#include "nat/translations.h"

namespace fg::nat {

class SilenceWatch {
 public:
  // Spec policy 0.5.
  static constexpr Duration kSilentAfter = 120s;
  static constexpr Duration kLookAhead = 10s;
  static constexpr Duration kGrace = 1s;
  static constexpr Duration kReportInterval = 30s;  // spec policy 4.4, HARDEN

  // Begins anew for every entry that `before` did not have just so.
  SilenceWatch(const Translations& translations, Instant now, const SilenceWatch* before);

  // `proxy` is an entry of the translations given to the constructor.
  void on_outgoing(const Translation& proxy, Instant now) noexcept;
  void on_incoming(const Translation& proxy, Instant now) noexcept;

  // Calls report(NameId) for each name that is due.
  template <class Report>
  void sweep(Instant now, Report&& report) noexcept {
    for (std::size_t i = 0; waiting_ != 0 && i < states_.size(); ++i) {
      if (is_due(i, now) && take_name(i, now)) report(translations_->entries()[i].name);
    }
    swept_ = now;
  }
  [[nodiscard]] std::optional<Instant> next_sweep() const noexcept {
    if (waiting_ == 0) return std::nullopt;
    return swept_ + kGrace;
  }

 private:
  struct State {
    Instant heard;  // or the creation
    std::optional<Instant> grace_started;
    Instant quiet_until = Instant::min();  // after a report

    [[nodiscard]] bool is_silent(Instant now) const noexcept { return now - heard >= kSilentAfter; }
  };

  [[nodiscard]] std::size_t index_of(const Translation& proxy) const noexcept {
    return static_cast<std::size_t>(&proxy - translations_->entries().data());
  }
  [[nodiscard]] bool is_due(std::size_t i, Instant now) const noexcept;
  // False when another proxy of the name was answered.
  bool take_name(std::size_t i, Instant now) noexcept;

  const Translations* translations_;
  std::vector<State> states_;  // as translations_->entries()
  std::size_t waiting_ = 0;    // with grace_started
  Instant swept_;
};

}  // namespace fg::nat
