#include "crypto/crypto.h"

#include <gtest/gtest.h>

#include <thread>

namespace fg::crypto {
namespace {

TEST(Crypto, IsReadyHoweverOftenAndFromWhicheverThreadItIsPrepared) {
  std::thread other([] { init(); });
  init();
  other.join();
  init();
}

}  // namespace
}  // namespace fg::crypto
