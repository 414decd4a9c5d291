#include "tests/unit/crypto/provider_suite.h"

namespace fg::crypto {

INSTANTIATE_TEST_SUITE_P(Gcrypt, AeadProviders, testing::Values(AeadProvider::gcrypt));

}  // namespace fg::crypto
