// ChaCha20-Poly1305 (RFC 8439). The data path uses AeadKey: one key, one direction, in place, empty
// associated data, nonce = four zero bytes and the little-endian counter; nothing is allocated per
// packet. Which library computes it is decided once by a measurement (choose_aead), because none is
// fastest on every machine (guide performance 8.2).
//
// An AeadEngine belongs to one thread; it must outlive every AeadKey made from it. The one-shot
// functions at the end serve handshakes and cookies.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/secret.h"
#include "base/time.h"

namespace fg::crypto {

inline constexpr std::size_t kAeadKeySize = 32;
inline constexpr std::size_t kTagSize = 16;
using Tag = std::array<std::uint8_t, kTagSize>;

enum class AeadProvider : std::uint8_t { sodium, openssl, gcrypt, ipsec_mb };
inline constexpr std::array kAeadProviders = {AeadProvider::sodium, AeadProvider::openssl,
                                              AeadProvider::gcrypt, AeadProvider::ipsec_mb};
[[nodiscard]] std::string_view name_of(AeadProvider provider);
[[nodiscard]] std::optional<AeadProvider> parse_aead_provider(std::string_view name);
// Built in and able to run on this machine. sodium always is.
[[nodiscard]] bool is_available(AeadProvider provider);

enum class AeadDirection : std::uint8_t { seal, open };

// Packets below kAeadLargeFrom bytes may be served by another library than larger ones.
inline constexpr std::size_t kAeadLargeFrom = 512;
struct AeadChoice {
  AeadProvider seal_small = AeadProvider::sodium;
  AeadProvider seal_large = AeadProvider::sodium;
  AeadProvider open_small = AeadProvider::sodium;
  AeadProvider open_large = AeadProvider::sodium;

  static AeadChoice only(AeadProvider p) { return {p, p, p, p}; }
  friend bool operator==(const AeadChoice&, const AeadChoice&) = default;
};

struct AeadMeasurement {
  AeadProvider provider = AeadProvider::sodium;
  double seal_small_ns = 0;  // 64 bytes
  double seal_large_ns = 0;  // 1280 bytes
  double open_small_ns = 0;
  double open_large_ns = 0;
};
struct AeadReport {
  AeadChoice choice;
  std::vector<AeadMeasurement> measured;  // empty when the choice was forced
  [[nodiscard]] std::string to_string() const;
};
// Measures every available provider for a few milliseconds each and takes the fastest per size
// class and direction. forced: no measurement; falls back to sodium when it is not available.
[[nodiscard]] AeadReport choose_aead(const std::function<Instant()>& clock,
                                     std::optional<AeadProvider> forced = std::nullopt);

class AeadEngine {
 public:
  explicit AeadEngine(AeadChoice choice = {});
  ~AeadEngine();
  AeadEngine(const AeadEngine&) = delete;
  AeadEngine& operator=(const AeadEngine&) = delete;

  [[nodiscard]] const AeadChoice& choice() const { return choice_; }

 private:
  friend class AeadKey;
  AeadChoice choice_;        // after replacing what is not available
  void* manager_ = nullptr;  // IMB_MGR of this thread
};

class AeadKey {
 public:
  AeadKey(AeadEngine& engine, AeadDirection direction, const Secret<kAeadKeySize>& key);
  ~AeadKey();
  AeadKey(AeadKey&& other) noexcept;
  AeadKey& operator=(AeadKey&& other) noexcept;
  AeadKey(const AeadKey&) = delete;
  AeadKey& operator=(const AeadKey&) = delete;

  // Encrypts in place and writes kTagSize bytes to tag (which may follow the text directly).
  void seal(std::uint64_t counter, MutableBytes text, std::uint8_t* tag) noexcept;
  // Decrypts in place. On false the text holds garbage that must not be looked at.
  [[nodiscard]] bool open(std::uint64_t counter, MutableBytes text,
                          const std::uint8_t* tag) noexcept;

 private:
  [[nodiscard]] AeadProvider provider_for(std::size_t size) const noexcept {
    return size < kAeadLargeFrom ? small_ : large_;
  }
  void release() noexcept;

  AeadProvider small_;
  AeadProvider large_;
  void* manager_;            // ipsec-mb, borrowed from the engine
  void* openssl_ = nullptr;  // EVP_CIPHER_CTX
  void* gcrypt_ = nullptr;   // gcry_cipher_hd_t
  Secret<kAeadKeySize> key_;
};

// ---- one-shot, any thread ----

struct AeadInput {
  Bytes nonce;  // 12 bytes (24 for the xchacha functions)
  Bytes associated;
  Bytes text;
};
// out has text.size() + kTagSize bytes: ciphertext, then tag.
void aead_seal(Bytes key, const AeadInput& input, MutableBytes out);
// input.text is ciphertext and tag; out has kTagSize bytes less. On false nothing was written.
[[nodiscard]] bool aead_open(Bytes key, const AeadInput& input, MutableBytes out);
// XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03): the cookie replies of WireGuard.
void xchacha_seal(Bytes key, const AeadInput& input, MutableBytes out);
[[nodiscard]] bool xchacha_open(Bytes key, const AeadInput& input, MutableBytes out);

}  // namespace fg::crypto
