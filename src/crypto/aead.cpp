#include "crypto/aead.h"

#include <sodium.h>

#include <utility>

#include "base/assert.h"
#include "crypto/crypto.h"
#include "crypto/providers.h"

namespace fg::crypto {

std::string_view name_of(AeadProvider provider) {
  switch (provider) {
    case AeadProvider::sodium:
      return "sodium";
    case AeadProvider::openssl:
      return "openssl";
    case AeadProvider::gcrypt:
      return "gcrypt";
    case AeadProvider::ipsec_mb:
      return "ipsec-mb";
  }
  return "?";
}

std::optional<AeadProvider> parse_aead_provider(std::string_view name) {
  for (const AeadProvider provider : kAeadProviders) {
    if (name_of(provider) == name) return provider;
  }
  return std::nullopt;
}

bool is_available(AeadProvider provider) {
  switch (provider) {
    case AeadProvider::sodium:
      return true;
    case AeadProvider::openssl:
      return providers::openssl::is_available();
    case AeadProvider::gcrypt:
      return providers::gcrypt::is_available();
    case AeadProvider::ipsec_mb:
      return providers::ipsec_mb::is_available();
  }
  return false;
}

AeadEngine::AeadEngine(AeadChoice choice) : choice_(choice) {
  init();
  bool wants_manager = false;
  for (AeadProvider* p :
       {&choice_.seal_small, &choice_.seal_large, &choice_.open_small, &choice_.open_large}) {
    if (!is_available(*p)) *p = AeadProvider::sodium;
    wants_manager = wants_manager || *p == AeadProvider::ipsec_mb;
  }
  if (wants_manager) manager_ = providers::ipsec_mb::make_manager();
}

AeadEngine::~AeadEngine() { providers::ipsec_mb::free_manager(manager_); }

AeadKey::AeadKey(AeadEngine& engine, AeadDirection direction, const Secret<kAeadKeySize>& key)
    : small_(direction == AeadDirection::seal ? engine.choice_.seal_small
                                              : engine.choice_.open_small),
      large_(direction == AeadDirection::seal ? engine.choice_.seal_large
                                              : engine.choice_.open_large),
      manager_(engine.manager_),
      key_(key.copy()) {
  if (small_ == AeadProvider::openssl || large_ == AeadProvider::openssl) {
    openssl_ = providers::openssl::make(direction, key_.expose());
  }
  if (small_ == AeadProvider::gcrypt || large_ == AeadProvider::gcrypt) {
    gcrypt_ = providers::gcrypt::make(key_.expose());
  }
}

AeadKey::~AeadKey() { release(); }

AeadKey::AeadKey(AeadKey&& other) noexcept
    : small_(other.small_),
      large_(other.large_),
      manager_(other.manager_),
      openssl_(std::exchange(other.openssl_, nullptr)),
      gcrypt_(std::exchange(other.gcrypt_, nullptr)),
      key_(std::move(other.key_)) {}

AeadKey& AeadKey::operator=(AeadKey&& other) noexcept {
  if (this == &other) return *this;
  release();
  small_ = other.small_;
  large_ = other.large_;
  manager_ = other.manager_;
  openssl_ = std::exchange(other.openssl_, nullptr);
  gcrypt_ = std::exchange(other.gcrypt_, nullptr);
  key_ = std::move(other.key_);
  return *this;
}

void AeadKey::release() noexcept {
  if (openssl_ != nullptr) providers::openssl::free(openssl_);
  if (gcrypt_ != nullptr) providers::gcrypt::free(gcrypt_);
  openssl_ = nullptr;
  gcrypt_ = nullptr;
}

void AeadKey::seal(std::uint64_t counter, MutableBytes text, std::uint8_t* tag) noexcept {
  const providers::Nonce nonce = providers::nonce_of(counter);
  switch (provider_for(text.size())) {
    case AeadProvider::ipsec_mb:
      return providers::ipsec_mb::seal(manager_, key_.data(), nonce, text, tag);
    case AeadProvider::gcrypt:
      return providers::gcrypt::seal(gcrypt_, nonce, text, tag);
    case AeadProvider::openssl:
      return providers::openssl::seal(openssl_, nonce, text, tag);
    case AeadProvider::sodium:
      return providers::sodium::seal(key_.data(), nonce, text, tag);
  }
}

bool AeadKey::open(std::uint64_t counter, MutableBytes text, const std::uint8_t* tag) noexcept {
  const providers::Nonce nonce = providers::nonce_of(counter);
  switch (provider_for(text.size())) {
    case AeadProvider::ipsec_mb:
      return providers::ipsec_mb::open(manager_, key_.data(), nonce, text, tag);
    case AeadProvider::gcrypt:
      return providers::gcrypt::open(gcrypt_, nonce, text, tag);
    case AeadProvider::openssl:
      return providers::openssl::open(openssl_, nonce, text, tag);
    case AeadProvider::sodium:
      return providers::sodium::open(key_.data(), nonce, text, tag);
  }
  return false;
}

void aead_seal(Bytes key, const AeadInput& in, MutableBytes out) {
  init();
  FG_ASSERT(key.size() == kAeadKeySize &&
            in.nonce.size() == crypto_aead_chacha20poly1305_IETF_NPUBBYTES &&
            out.size() == in.text.size() + kTagSize);
  crypto_aead_chacha20poly1305_ietf_encrypt(out.data(), nullptr, in.text.data(), in.text.size(),
                                            in.associated.data(), in.associated.size(), nullptr,
                                            in.nonce.data(), key.data());
}

bool aead_open(Bytes key, const AeadInput& in, MutableBytes out) {
  init();
  if (in.text.size() < kTagSize) return false;
  FG_ASSERT(key.size() == kAeadKeySize &&
            in.nonce.size() == crypto_aead_chacha20poly1305_IETF_NPUBBYTES &&
            out.size() == in.text.size() - kTagSize);
  // A null output verifies only, so that a forgery leaves `out` as it was.
  const auto run = [&](std::uint8_t* to) {
    return crypto_aead_chacha20poly1305_ietf_decrypt_detached(
               to, nullptr, in.text.data(), out.size(), in.text.last(kTagSize).data(),
               in.associated.data(), in.associated.size(), in.nonce.data(), key.data()) == 0;
  };
  // An empty text has no place to go, which is what a null output means to the library.
  return run(nullptr) && (out.empty() || run(out.data()));
}

void xchacha_seal(Bytes key, const AeadInput& in, MutableBytes out) {
  init();
  FG_ASSERT(key.size() == kAeadKeySize &&
            in.nonce.size() == crypto_aead_xchacha20poly1305_ietf_NPUBBYTES &&
            out.size() == in.text.size() + kTagSize);
  crypto_aead_xchacha20poly1305_ietf_encrypt(out.data(), nullptr, in.text.data(), in.text.size(),
                                             in.associated.data(), in.associated.size(), nullptr,
                                             in.nonce.data(), key.data());
}

bool xchacha_open(Bytes key, const AeadInput& in, MutableBytes out) {
  init();
  if (in.text.size() < kTagSize) return false;
  FG_ASSERT(key.size() == kAeadKeySize &&
            in.nonce.size() == crypto_aead_xchacha20poly1305_ietf_NPUBBYTES &&
            out.size() == in.text.size() - kTagSize);
  const auto run = [&](std::uint8_t* to) {
    return crypto_aead_xchacha20poly1305_ietf_decrypt_detached(
               to, nullptr, in.text.data(), out.size(), in.text.last(kTagSize).data(),
               in.associated.data(), in.associated.size(), in.nonce.data(), key.data()) == 0;
  };
  return run(nullptr) && (out.empty() || run(out.data()));
}

}  // namespace fg::crypto
