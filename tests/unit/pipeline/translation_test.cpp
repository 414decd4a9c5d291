// Translation of DNS resources' proxy addresses in the packet path: spec policy 5, 9.4, 9.6.
#include "tests/unit/pipeline/world.h"

namespace fg::pipeline {
namespace {

using namespace testing;

class TranslationTest : public World {};

// ---- commands and what they give back ----

TEST_F(TranslationTest, NewTranslationsReplaceTheOldOnesWhichAreGivenBack) {
  const auto first = nat::Translations::compile({}, false);
  const auto second = nat::Translations::compile({}, false);
  (void)establish(1);
  apply(SetTranslations{ClientSlot{1}, first.get()});
  EXPECT_TRUE(out_.take<TranslationsRetired>().empty());
  apply(SetTranslations{ClientSlot{1}, second.get()});
  auto retired = out_.take<TranslationsRetired>();
  ASSERT_EQ(retired.size(), 1U);
  EXPECT_EQ(retired[0].translations, first.get());
  apply(SetTranslations{ClientSlot{1}, nullptr});
  retired = out_.take<TranslationsRetired>();
  ASSERT_EQ(retired.size(), 1U);
  EXPECT_EQ(retired[0].translations, second.get());
  apply(SetTranslations{ClientSlot{1}, nullptr});
  EXPECT_TRUE(out_.take<TranslationsRetired>().empty());
}

TEST_F(TranslationTest, TranslationsForNobodyComeStraightBack) {
  const auto translations = nat::Translations::compile({}, false);
  apply(SetTranslations{ClientSlot{9}, translations.get()});
  const auto retired = out_.take<TranslationsRetired>();
  ASSERT_EQ(retired.size(), 1U);
  EXPECT_EQ(retired[0].translations, translations.get());
}

TEST_F(TranslationTest, ARemovedClientGivesItsTranslationsBack) {
  const auto translations = nat::Translations::compile({}, false);
  (void)establish(1);
  apply(SetTranslations{ClientSlot{1}, translations.get()});
  apply(RemoveClient{ClientSlot{1}});
  const auto retired = out_.take<TranslationsRetired>();
  ASSERT_EQ(retired.size(), 1U);
  EXPECT_EQ(retired[0].translations, translations.get());
}

}  // namespace
}  // namespace fg::pipeline
