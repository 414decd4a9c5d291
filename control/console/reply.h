// The gateway's answers as one line of JSON without its end. Times are objects: `at` in UTC, and
// `ago_s` or `in_s`. Lists are bounded, and what was left out is said. Nothing secret is ever
// handed in (control/controller/report.h).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/console/status.h"
#include "control/controller/report.h"

namespace fg::console {

inline constexpr std::size_t kPeersPerReply = 256;  // the asker asks for more
inline constexpr std::size_t kResourcesPerReply = 1'000;
inline constexpr std::size_t kNamesPerReply = 1'000;

[[nodiscard]] std::string write_status(const Status& status, const Clock& clock);
// `next`: there are more behind this one.
[[nodiscard]] std::string write_peers(const std::vector<controller::ClientReport>& peers,
                                      const std::optional<ClientId>& next, const Clock& clock);
[[nodiscard]] std::string write_peer(const controller::ClientReport& peer,
                                     const std::vector<controller::ResourceReport>& resources,
                                     const std::vector<controller::TranslationReport>& names,
                                     const Clock& clock);
[[nodiscard]] std::string write_explanation(const controller::Explanation& explanation,
                                            const Clock& clock);
// One sentence with the mend.
[[nodiscard]] std::string write_error(std::string_view sentence);

}  // namespace fg::console
