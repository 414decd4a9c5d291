#include "tests/unit/crypto/provider_suite.h"

namespace fg::crypto {

INSTANTIATE_TEST_SUITE_P(OpenSsl, AeadProviders, testing::Values(AeadProvider::openssl));

}  // namespace fg::crypto
