// Does the path in use still carry anything? A peer gives a dead pair up after twelve unanswered
// checks (16.5 s, spec connectivity 2.18). The controlled side can know sooner: the peer checks all
// its pairs at one rate, so one that fell silent while others are heard is dead or unlucky, and a
// few questions tell which.
//
//   trusting --path silent for `patience`, the peer heard elsewhere since--> doubting
//   doubting --anything by that path, data included--> trusting
//   doubting --four questions over 2 s unanswered, another base heard and answering--> lost
//   doubting --no other base answers either--> trusting, not to doubt again for 10 s
#pragma once

#include <optional>
#include <vector>

#include "control/ice/checklist.h"

namespace fg::ice {

inline constexpr unsigned kDoubtQuestions = 4;
inline constexpr Duration kDoubtInterval = 500ms;
inline constexpr Duration kDoubtRest = 10s;

// What fell silent together with the path in use: a peer that is told of one base only would turn
// to the next dead one.
struct LostPaths {
  std::vector<SocketAddress> bases;
  std::vector<PairId> pairs;
};

class PathWatch {
 public:
  // After every input. in_use: what data is sent by; null: nothing. Pairs to be asked are hurried.
  std::optional<LostPaths> advance(Checklist& checklist, const Pair* in_use, Duration patience,
                                   Instant now);
  [[nodiscard]] bool is_doubting() const { return doubt_.has_value(); }
  [[nodiscard]] std::optional<Instant> due() const {
    return doubt_ ? std::optional{doubt_->next} : std::nullopt;
  }

 private:
  struct Doubt {
    PairId pair{};
    Instant since;
    Instant next;
    unsigned asked = 0;
  };
  [[nodiscard]] bool may_doubt(const Checklist& checklist, const Pair& in_use, Duration patience,
                               Instant now) const;
  [[nodiscard]] static LostPaths lost_with(const Checklist& checklist, const Pair& in_use,
                                           const Doubt& doubt);

  std::optional<Doubt> doubt_;
  Instant rest_until_{};
};

}  // namespace fg::ice
