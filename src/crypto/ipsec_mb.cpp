#include "base/assert.h"
#include "crypto/providers.h"

#ifdef FG_HAVE_IPSEC_MB
#include <intel-ipsec-mb.h>
#endif

namespace fg::crypto::providers::ipsec_mb {

#ifdef FG_HAVE_IPSEC_MB
namespace {

// Submitting computes at once and gives the job back: there is no batching for this algorithm
// (guide performance 8.1).
void run(IMB_MGR* manager, bool encrypt, const std::uint8_t* key, const Nonce& nonce,
         MutableBytes text, std::uint8_t* tag) noexcept {
  IMB_JOB* job = IMB_GET_NEXT_JOB(manager);
  job->cipher_mode = IMB_CIPHER_CHACHA20_POLY1305;
  job->hash_alg = IMB_AUTH_CHACHA20_POLY1305;
  job->cipher_direction = encrypt ? IMB_DIR_ENCRYPT : IMB_DIR_DECRYPT;
  job->chain_order = encrypt ? IMB_ORDER_CIPHER_HASH : IMB_ORDER_HASH_CIPHER;
  job->enc_keys = key;
  job->dec_keys = key;
  job->key_len_in_bytes = kAeadKeySize;
  job->iv = nonce.data();
  job->iv_len_in_bytes = nonce.size();
  job->u.CHACHA20_POLY1305.aad = nullptr;
  job->u.CHACHA20_POLY1305.aad_len_in_bytes = 0;
  job->src = text.data();
  job->dst = text.data();
  job->cipher_start_src_offset_in_bytes = 0;
  job->hash_start_src_offset_in_bytes = 0;
  job->msg_len_to_cipher_in_bytes = text.size();
  job->msg_len_to_hash_in_bytes = text.size();
  job->auth_tag_output = tag;
  job->auth_tag_output_len_in_bytes = kTagSize;
  job = IMB_SUBMIT_JOB_NOCHECK(manager);
  if (job == nullptr) job = IMB_FLUSH_JOB(manager);
  FG_ASSERT(job != nullptr && job->status == IMB_STATUS_COMPLETED);
}

}  // namespace

bool is_available() {
  static const bool ready = [] {
    void* manager = make_manager();
    const bool ok = imb_get_errno(static_cast<IMB_MGR*>(manager)) == 0;
    free_manager(manager);
    return ok;
  }();
  return ready;
}

void* make_manager() {
  IMB_MGR* manager = alloc_mb_mgr(0);
  FG_ASSERT(manager != nullptr);
  init_mb_mgr_auto(manager, nullptr);
  return manager;
}

void free_manager(void* manager) noexcept {
  if (manager != nullptr) free_mb_mgr(static_cast<IMB_MGR*>(manager));
}

void seal(void* manager, const std::uint8_t* key, const Nonce& nonce, MutableBytes text,
          std::uint8_t* tag) noexcept {
  run(static_cast<IMB_MGR*>(manager), true, key, nonce, text, tag);
}

bool open(void* manager, const std::uint8_t* key, const Nonce& nonce, MutableBytes text,
          const std::uint8_t* tag) noexcept {
  alignas(16) Tag computed;
  run(static_cast<IMB_MGR*>(manager), false, key, nonce, text, computed.data());
  return equal_constant_time(computed, {tag, kTagSize});
}

#else

bool is_available() { return false; }
void* make_manager() { return nullptr; }
void free_manager(void*) noexcept {}
void seal(void*, const std::uint8_t*, const Nonce&, MutableBytes, std::uint8_t*) noexcept {
  FG_ASSERT(false);
}
bool open(void*, const std::uint8_t*, const Nonce&, MutableBytes, const std::uint8_t*) noexcept {
  return false;
}

#endif

}  // namespace fg::crypto::providers::ipsec_mb
