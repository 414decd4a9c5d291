// The generator for keys, nonces and cookies.
#pragma once

#include "base/random.h"

namespace fg::crypto {

class SystemRandom final : public Random {
 public:
  SystemRandom();
  void fill(MutableBytes out) override;
};

}  // namespace fg::crypto
