#include "tests/unit/crypto/provider_suite.h"

namespace fg::crypto {

INSTANTIATE_TEST_SUITE_P(Sodium, AeadProviders, testing::Values(AeadProvider::sodium));

}  // namespace fg::crypto
