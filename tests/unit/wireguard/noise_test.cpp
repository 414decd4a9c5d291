#include "wireguard/noise.h"

#include "crypto/aead.h"
#include "tests/unit/crypto/vector_file.h"

namespace fg::wireguard::noise {
namespace {

using test::to_hex;

const test::VectorFile& vector() {
  static const test::VectorFile file("noise/ikpsk2.txt");
  return file;
}
crypto::KeyPair pair(const std::string& name) {
  crypto::KeyPair out{.private_key = crypto::PrivateKey{vector().array<32>(name)},
                      .public_key = {}};
  out.public_key = crypto::public_from_private(out.private_key);
  return out;
}

class NoiseVector : public testing::Test {
 protected:
  crypto::KeyPair init_static_ = pair("init_static"), init_ephemeral_ = pair("init_ephemeral");
  crypto::KeyPair resp_static_ = pair("resp_static"), resp_ephemeral_ = pair("resp_ephemeral");
  Secret<32> psk_{vector().array<32>("psk")};
  Secret<32> shared_ = *crypto::shared_secret(init_static_.private_key, resp_static_.public_key);
  ByteVector prologue_ = vector().bytes("prologue");
  ByteVector payload0_ = vector().bytes("payload0"), payload1_ = vector().bytes("payload1");

  ByteVector write_message_one(SymmetricState& state) {
    ByteVector out(kFirstOverhead + payload0_.size());
    EXPECT_TRUE(write_first(state,
                            {.ephemeral = init_ephemeral_,
                             .initiator_static = init_static_.public_key,
                             .responder_static = resp_static_.public_key,
                             .static_shared = shared_,
                             .payload = payload0_},
                            out));
    return out;
  }
  void read_message_one(SymmetricState& state, Bytes message) {
    const auto who = read_first_static(state, resp_static_.private_key, message.first(32),
                                       message.subspan(32, 48));
    ASSERT_TRUE(who);
    EXPECT_EQ(*who, init_static_.public_key);
    ByteVector payload(payload0_.size());
    ASSERT_TRUE(read_first_payload(state, shared_, message.subspan(80), payload));
    EXPECT_EQ(payload, payload0_);
  }
  ByteVector write_message_two(SymmetricState& state) {
    ByteVector out(kSecondOverhead + payload1_.size());
    EXPECT_TRUE(write_second(state,
                             {.ephemeral = resp_ephemeral_,
                              .initiator_ephemeral = init_ephemeral_.public_key,
                              .initiator_static = init_static_.public_key,
                              .preshared = psk_,
                              .payload = payload1_},
                             out));
    return out;
  }
};

TEST_F(NoiseVector, BothMessagesAndTheTransportKeysAreThePublishedOnes) {
  EXPECT_EQ(to_hex(resp_static_.public_key), vector().hex("init_remote_static"));
  SymmetricState initiator(prologue_, resp_static_.public_key),
      responder(prologue_, resp_static_.public_key);
  const ByteVector one = write_message_one(initiator);
  EXPECT_EQ(to_hex(one), vector().hex("ciphertext0"));
  read_message_one(responder, one);
  const ByteVector two = write_message_two(responder);
  EXPECT_EQ(to_hex(two), vector().hex("ciphertext1"));
  ByteVector payload(payload1_.size());
  ASSERT_TRUE(read_second(initiator, init_ephemeral_.private_key, init_static_.private_key, psk_,
                          two, payload));
  EXPECT_EQ(payload, payload1_);
  EXPECT_EQ(initiator.hash(), responder.hash());

  // Messages 2, 4 go to the responder with counters 0, 1; messages 3, 5 come back.
  const TransportKeys keys = responder.split();
  EXPECT_EQ(initiator.split().initiator_to_responder, keys.initiator_to_responder);
  for (std::size_t i = 2; i < 6; ++i) {
    const ByteVector text = vector().bytes("payload" + std::to_string(i));
    std::array<std::uint8_t, 12> nonce{};
    nonce[4] = static_cast<std::uint8_t>((i - 2) / 2);
    ByteVector sealed(text.size() + 16);
    crypto::aead_seal(
        (i % 2 == 0 ? keys.initiator_to_responder : keys.responder_to_initiator).expose(),
        {.nonce = nonce, .associated = {}, .text = text}, sealed);
    EXPECT_EQ(to_hex(sealed), vector().hex("ciphertext" + std::to_string(i)));
  }
}

TEST_F(NoiseVector, AnotherPrologueOrResponderKeyIsRejected) {
  SymmetricState initiator(prologue_, resp_static_.public_key);
  const ByteVector one = write_message_one(initiator);
  SymmetricState other_prologue(as_bytes("x"), resp_static_.public_key);
  EXPECT_FALSE(read_first_static(other_prologue, resp_static_.private_key, Bytes{one}.first(32),
                                 Bytes{one}.subspan(32, 48)));
  SymmetricState other_key(prologue_, init_static_.public_key);
  EXPECT_FALSE(read_first_static(other_key, init_static_.private_key, Bytes{one}.first(32),
                                 Bytes{one}.subspan(32, 48)));
}

TEST_F(NoiseVector, AWrongPreSharedKeyFailsAndLeavesTheStateUsable) {
  SymmetricState initiator(prologue_, resp_static_.public_key),
      responder(prologue_, resp_static_.public_key);
  read_message_one(responder, write_message_one(initiator));
  const ByteVector two = write_message_two(responder);
  ByteVector payload(payload1_.size());
  EXPECT_FALSE(read_second(initiator, init_ephemeral_.private_key, init_static_.private_key,
                           Secret<32>{}, two, payload));
  EXPECT_TRUE(read_second(initiator, init_ephemeral_.private_key, init_static_.private_key, psk_,
                          two, payload));
}

TEST_F(NoiseVector, AnEphemeralOfLowOrderIsRefused) {
  const ByteVector zero(48);
  SymmetricState responder(prologue_, resp_static_.public_key);
  EXPECT_FALSE(read_first_static(responder, resp_static_.private_key, Bytes{zero}.first(32), zero));
  SymmetricState initiator(prologue_, resp_static_.public_key);
  write_message_one(initiator);
  EXPECT_FALSE(read_second(initiator, init_ephemeral_.private_key, init_static_.private_key, psk_,
                           zero, {}));
}

}  // namespace
}  // namespace fg::wireguard::noise
