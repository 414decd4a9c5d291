// Answers to ICE checks that are asked again and again. A client asks the same of each of its pairs
// every 1.5 s, every 25 s while idle (spec connectivity 2.18, 2.19): but for transaction id,
// MESSAGE-INTEGRITY and FINGERPRINT the bytes are those of the time before. What the control thread
// has answered once and would answer again without a thought, it leaves to us; whatever differs by
// a byte is its business as ever. No STUN is parsed here: where the three fields lie is all that is
// known of it.
//
// Asked more than once a second, a question is left to the control thread, whose rings are bounded:
// whoever replays a recorded check costs no more than before.
#pragma once

#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "base/bytes.h"
#include "base/time.h"
#include "pipeline/commands.h"

namespace fg::pipeline {

class StandingAnswers {
 public:
  static constexpr std::size_t kAnswersMax = 65'536;
  static constexpr Duration kInterval = 1s;

  // In place of what there was for the pair. False: no room, or not of the shape in commands.h.
  bool set(SetStandingAnswer answer);
  void drop(std::uint32_t connection);

  // The answer if this is its question, authentic, and came by its path. Null: to be punted.
  [[nodiscard]] const SetStandingAnswer* find(Bytes message, const Path& path,
                                              Instant now) noexcept;
  // `out` is as long as the answer.
  static void write(const SetStandingAnswer& answer, Bytes question, MutableBytes out) noexcept;

  [[nodiscard]] std::size_t size() const { return answers_.size(); }

 private:
  struct Entry {
    SetStandingAnswer answer;
    Instant next;  // not before
  };
  struct Place {
    std::uint32_t pair = 0;
    std::uint64_t hash = 0;
  };
  std::unordered_map<std::uint64_t, Entry> answers_;              // by a hash of path and question
  std::unordered_map<std::uint32_t, std::vector<Place>> places_;  // by connection
};

}  // namespace fg::pipeline
