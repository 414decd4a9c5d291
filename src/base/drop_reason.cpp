#include "base/drop_reason.h"

namespace fg {
namespace {

struct Texts {
  std::string_view name;
  std::string_view sentence;
};
constexpr std::array<Texts, kDropReasons> kTexts{{
#define FG_TEXT(symbol, text) {#symbol, text},
    FG_DROP_REASONS(FG_TEXT)
#undef FG_TEXT
}};

}  // namespace

std::string_view name_of(DropReason reason) {
  return kTexts[static_cast<std::size_t>(reason)].name;
}
std::string_view sentence_of(DropReason reason) {
  return kTexts[static_cast<std::size_t>(reason)].sentence;
}

}  // namespace fg
