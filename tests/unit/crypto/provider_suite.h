#pragma once

#include <gtest/gtest.h>

#include "crypto/aead.h"

namespace fg::crypto {

class AeadProviders : public testing::TestWithParam<AeadProvider> {
 protected:
  void SetUp() override {
    ASSERT_TRUE(is_available(GetParam())) << "the build machine has every provider";
  }
  AeadEngine engine_{AeadChoice::only(GetParam())};
};

}  // namespace fg::crypto
