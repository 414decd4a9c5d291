// All libraries that seal and open data messages are one function: what one seals every other one
// seals alike and opens, whatever the length, and nobody opens what was touched.
#include "crypto/aead.h"
#include "tests/fuzz/support.h"

namespace {

using namespace fg;
using namespace fg::crypto;

// A text with its tag behind it, as in a message.
class Sealed {
 public:
  explicit Sealed(const ByteVector& text) : bytes_(text) { bytes_.resize(text.size() + kTagSize); }
  [[nodiscard]] MutableBytes text() { return MutableBytes{bytes_}.first(bytes_.size() - kTagSize); }
  [[nodiscard]] std::uint8_t* tag() { return bytes_.data() + text().size(); }
  void touch(std::size_t at, std::uint8_t flip) { bytes_[at % bytes_.size()] ^= flip; }
  friend bool operator==(const Sealed&, const Sealed&) = default;

 private:
  ByteVector bytes_;
};

void run(Bytes input) {
  fuzz::Choices choices{input};
  Secret<kAeadKeySize> key;
  {
    std::array<std::uint8_t, kAeadKeySize> bytes{};
    std::ranges::copy(choices.take(kAeadKeySize), bytes.begin());
    key = Secret<kAeadKeySize>{bytes};
  }
  const auto counter = choices.u64();
  // Around the borders of blocks and of the size classes as well.
  ByteVector plain(choices.u16() % 2048);
  const auto touched = choices.u16();
  const auto flip = static_cast<std::uint8_t>(choices.u8() | 1);
  const auto pattern = choices.rest();
  for (std::size_t i = 0; i < plain.size(); ++i)
    plain[i] = pattern.empty() ? 0 : pattern[i % pattern.size()];

  std::optional<Sealed> first;
  for (const auto provider : kAeadProviders) {
    if (!is_available(provider)) continue;
    AeadEngine engine{AeadChoice::only(provider)};
    AeadKey sealing{engine, AeadDirection::seal, key};
    AeadKey opening{engine, AeadDirection::open, key};
    Sealed sealed{plain};
    sealing.seal(counter, sealed.text(), sealed.tag());
    if (!first) first = sealed;
    FG_LAW(sealed == *first);

    auto forged = sealed;
    forged.touch(touched, flip);
    FG_LAW(!opening.open(counter, forged.text(), forged.tag()));
    auto other = sealed;
    FG_LAW(!opening.open(counter + 1, other.text(), other.tag()));
    // The key is as good as before after refusals, and again.
    for (int i = 0; i < 2; ++i) {
      auto opened = sealed;
      FG_LAW(opening.open(counter, opened.text(), opened.tag()) && equal(opened.text(), plain));
    }
  }
}

}  // namespace

FG_FUZZ_TARGET(run)
