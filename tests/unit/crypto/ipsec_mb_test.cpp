#include "tests/unit/crypto/provider_suite.h"

namespace fg::crypto {

INSTANTIATE_TEST_SUITE_P(IpsecMb, AeadProviders, testing::Values(AeadProvider::ipsec_mb));

}  // namespace fg::crypto
