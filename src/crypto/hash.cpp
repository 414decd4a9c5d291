// SHA-1 is used without EVP, see sha1_of().
#define OPENSSL_SUPPRESS_DEPRECATED
#include "crypto/hash.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/sha.h>

#include <memory>

#include "base/assert.h"
#include "base/secret.h"

namespace fg::crypto {
namespace {

constexpr std::size_t kBlock = 64;  // of every digest used here

struct Free {
  void operator()(EVP_MD_CTX* p) const { EVP_MD_CTX_free(p); }
  void operator()(EVP_MAC_CTX* p) const { EVP_MAC_CTX_free(p); }
};

// Fetched once and never freed: they live as long as the process.
struct Algorithms {
  EVP_MD* blake2s = EVP_MD_fetch(nullptr, "BLAKE2S-256", nullptr);
  EVP_MD* md5 = EVP_MD_fetch(nullptr, "MD5", nullptr);
  EVP_MD* sha256 = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  EVP_MAC* blake2s_mac = EVP_MAC_fetch(nullptr, "BLAKE2SMAC", nullptr);

  Algorithms() { FG_ASSERT(blake2s && md5 && sha256 && blake2s_mac); }
};

const Algorithms& algorithms() {
  static const Algorithms all;
  return all;
}

using Lists = std::initializer_list<Parts>;

template <std::size_t N>
std::array<std::uint8_t, N> digest(const EVP_MD* md, Lists lists) {
  thread_local const std::unique_ptr<EVP_MD_CTX, Free> context{EVP_MD_CTX_new()};
  std::array<std::uint8_t, N> out;
  bool ok = context && EVP_DigestInit_ex2(context.get(), md, nullptr) == 1;
  for (const Parts& parts : lists) {
    for (const Bytes& part : parts) {
      if (!part.empty()) ok = ok && EVP_DigestUpdate(context.get(), part.data(), part.size()) == 1;
    }
  }
  ok = ok && EVP_DigestFinal_ex(context.get(), out.data(), nullptr) == 1;
  FG_ASSERT(ok);
  return out;
}

// Of every STUN message that is checked or signed, also by workers. EVP frees and allocates a
// digest's state each time it begins.
std::array<std::uint8_t, 20> sha1_of(Lists lists) {
  SHA_CTX context;
  std::array<std::uint8_t, 20> out;
  bool ok = SHA1_Init(&context) == 1;
  for (const Parts& parts : lists) {
    for (const Bytes& part : parts) ok = ok && SHA1_Update(&context, part.data(), part.size()) == 1;
  }
  ok = ok && SHA1_Final(out.data(), &context) == 1;
  OPENSSL_cleanse(&context, sizeof context);
  FG_ASSERT(ok);
  return out;
}

// RFC 2104. Keys longer than a block are replaced by their digest.
template <std::size_t N, class Digest>
std::array<std::uint8_t, N> hmac(const Digest& digest_of, Bytes key, Parts parts) {
  std::array<std::uint8_t, kBlock> inner{};
  if (key.size() > kBlock) {
    const auto short_key = digest_of({{key}});
    std::copy(short_key.begin(), short_key.end(), inner.begin());
  } else {
    std::copy(key.begin(), key.end(), inner.begin());
  }
  std::array<std::uint8_t, kBlock> outer;
  for (std::size_t i = 0; i < kBlock; ++i) {
    outer[i] = inner[i] ^ 0x5C;
    inner[i] ^= 0x36;
  }
  auto first = digest_of({{Bytes{inner}}, parts});
  const auto out = digest_of({{Bytes{outer}, Bytes{first}}});
  wipe(inner);
  wipe(outer);
  wipe(first);
  return out;
}

constexpr std::array<std::uint32_t, 256> make_crc_table() {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t c = i;
    for (int bit = 0; bit < 8; ++bit) c = (c & 1) != 0 ? 0xEDB88320U ^ (c >> 1) : c >> 1;
    table[i] = c;
  }
  return table;
}

}  // namespace

std::array<std::uint8_t, 32> blake2s(Parts parts) {
  return digest<32>(algorithms().blake2s, {parts});
}

std::array<std::uint8_t, 16> blake2s_mac(Bytes key, Parts parts) {
  thread_local const std::unique_ptr<EVP_MAC_CTX, Free> context{
      EVP_MAC_CTX_new(algorithms().blake2s_mac)};
  std::array<std::uint8_t, 16> out;
  std::size_t size = out.size();
  const OSSL_PARAM params[] = {OSSL_PARAM_construct_size_t(OSSL_MAC_PARAM_SIZE, &size),
                               OSSL_PARAM_construct_end()};
  bool ok = context && EVP_MAC_init(context.get(), key.data(), key.size(), params) == 1;
  for (const Bytes& part : parts) {
    if (!part.empty()) ok = ok && EVP_MAC_update(context.get(), part.data(), part.size()) == 1;
  }
  std::size_t written = 0;
  ok = ok && EVP_MAC_final(context.get(), out.data(), &written, out.size()) == 1 &&
       written == out.size();
  FG_ASSERT(ok);
  return out;
}

std::array<std::uint8_t, 32> hmac_blake2s(Bytes key, Parts parts) {
  return hmac<32>([](Lists l) { return digest<32>(algorithms().blake2s, l); }, key, parts);
}

std::array<std::uint8_t, 16> md5(Parts parts) { return digest<16>(algorithms().md5, {parts}); }
std::array<std::uint8_t, 20> sha1(Parts parts) { return sha1_of({parts}); }
std::array<std::uint8_t, 32> sha256(Parts parts) {
  return digest<32>(algorithms().sha256, {parts});
}
std::array<std::uint8_t, 20> hmac_sha1(Bytes key, Parts parts) {
  return hmac<20>(sha1_of, key, parts);
}
std::array<std::uint8_t, 32> hmac_sha256(Bytes key, Parts parts) {
  return hmac<32>([](Lists l) { return digest<32>(algorithms().sha256, l); }, key, parts);
}

void pbkdf2_hmac_sha256(Bytes password, Bytes salt, unsigned iterations, MutableBytes out) {
  const auto text = as_text(password);
  FG_ASSERT(PKCS5_PBKDF2_HMAC(text.data(), static_cast<int>(text.size()), salt.data(),
                              static_cast<int>(salt.size()), static_cast<int>(iterations),
                              algorithms().sha256, static_cast<int>(out.size()), out.data()) == 1);
}

std::uint32_t crc32(Bytes bytes) {
  static constexpr auto kTable = make_crc_table();
  std::uint32_t crc = 0xFFFFFFFFU;
  for (const std::uint8_t byte : bytes) crc = kTable[(crc ^ byte) & 0xFF] ^ (crc >> 8);
  return ~crc;
}

}  // namespace fg::crypto
