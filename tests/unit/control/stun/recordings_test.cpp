// Every STUN message real gateways, clients and relays exchanged parses, verifies with the
// credentials of the transcript and is written again to the same bytes.
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "base/encoding.h"
#include "control/stun/builder.h"
#include "control/stun/key.h"
#include "control/stun/message.h"
#include "crypto/hash.h"
#include "tests/support/pcap.h"
#include "tests/support/recordings.h"

namespace fg::stun {
namespace {

struct Folder {
  const char* name;
  bool has_checks;  // ICE, not ICE-less
};

void PrintTo(const Folder& folder, std::ostream* out) { *out << folder.name; }

struct Credentials {
  std::map<std::string, std::string> passwords;  // of relay users and of ICE user fragments
  std::string stamp_secret;                      // the relay's

  // spec connectivity 3.1: a relay derives the password from the username; one client was given
  // credentials that are not in its transcript.
  std::optional<std::string> password_of(const std::string& user) const {
    if (const auto known = passwords.find(user); known != passwords.end()) return known->second;
    const auto colon = user.find(':');
    if (colon == std::string::npos) return std::nullopt;
    const std::string text = user.substr(0, colon) + ":" + stamp_secret + user.substr(colon);
    return base64_unpadded(crypto::sha256({as_bytes(text)}));
  }
};

// Every {username, password} anywhere in the transcript: relay credentials and ICE credentials of
// both sides.
void collect(const nlohmann::json& node, Credentials& out) {
  if (node.is_object() && node.contains("username") && node.contains("password")) {
    out.passwords[node["username"].get<std::string>()] = node["password"].get<std::string>();
  }
  if (node.is_object() && node.contains("stamp_secret"))
    out.stamp_secret = node["stamp_secret"].get<std::string>();
  for (const auto& child : node) {
    if (child.is_structured()) collect(child, out);
  }
}

Credentials credentials_of(const std::filesystem::path& transcript) {
  Credentials out;
  std::ifstream file{transcript};
  for (std::string line; std::getline(file, line);) {
    const auto json = nlohmann::json::parse(line, nullptr, false);
    if (!json.is_discarded()) collect(json, out);
  }
  return out;
}

class Recording : public testing::TestWithParam<Folder> {
 protected:
  struct Counts {
    std::size_t messages = 0;
    std::size_t turn_verified = 0;
    std::size_t checks_verified = 0;
    std::size_t fingerprints = 0;
    std::size_t in_channel_data = 0;
    std::size_t unsigned_messages = 0;
  };

  void read(const std::filesystem::path& capture_path) {
    const auto capture = test::read_pcap(capture_path);
    ASSERT_TRUE(capture.complete) << capture_path;
    ASSERT_FALSE(capture.datagrams.empty());
    for (const auto& datagram : capture.datagrams) take(datagram.payload);
  }

  // Aggregates of segmentation offload consist of segments as long as the first message.
  void take(Bytes payload) {
    while (!payload.empty()) {
      const std::size_t n = std::min(payload.size(), first_message_size(payload));
      take_one(payload.first(n));
      payload = payload.subspan(n);
    }
  }

  static std::size_t first_message_size(Bytes b) {
    if (b.size() < 4) return b.size();
    const std::size_t length = load_be16(b.data() + 2);
    if (b.size() >= 20 && b[0] < 4 && load_be32(b.data() + 4) == 0x2112A442) return 20 + length;
    if (b[0] >= 0x40 && b[0] <= 0x4F) return 4 + length;
    return b.size();
  }

  void take_one(Bytes b) {
    if (b.size() >= 4 && b[0] >= 0x40 && b[0] <= 0x4F) {
      const auto before = counts_.messages;
      take_message(b.subspan(4));
      counts_.in_channel_data += counts_.messages - before;
    } else {
      take_message(b);
    }
  }

  void take_message(Bytes b) {
    const bool looks_like_stun =
        b.size() >= 20 && b[0] < 4 && load_be32(b.data() + 4) == 0x2112A442;
    if (!looks_like_stun) return;
    const auto m = Message::parse(b);
    ASSERT_TRUE(m) << hex(b);
    ++counts_.messages;
    if (m->has_fingerprint()) ++counts_.fingerprints;  // verified by parse
    const auto key = key_of(*m);
    if (m->has_integrity()) {
      ASSERT_TRUE(key) << hex(b);
      ASSERT_TRUE(m->verify_integrity(*key)) << hex(b);
      ++(is_check_ ? counts_.checks_verified : counts_.turn_verified);
    } else {
      ++counts_.unsigned_messages;
      ASSERT_EQ(m->method(), Method::binding) << hex(b);
    }
    write_again(*m, key);
  }

  // Requests name their key by USERNAME; responses by the transaction.
  std::optional<ByteVector> key_of(const Message& m) {
    is_check_ = m.method() == Method::binding;
    if (const auto username = m.username()) {
      const auto colon = username->find(':');
      const std::string user{is_check_ ? username->substr(0, colon) : *username};
      const auto known = credentials_.password_of(user);
      if (!known) return std::nullopt;
      const SecretText password{*known};
      keys_[m.transaction()] = is_check_
                                   ? copy_of(short_term_key(password))
                                   : copy_of(long_term_key(user, "firezone", password).expose());
    }
    const auto key = keys_.find(m.transaction());
    return key == keys_.end() ? std::nullopt : std::optional{key->second};
  }

  static void write_again(const Message& m, const std::optional<ByteVector>& key) {
    std::array<std::uint8_t, 2048> buffer{};
    Builder b{buffer, m.type(), m.transaction()};
    for (auto a = m.first(); a; a = m.next(*a)) {
      switch (a->type) {
        case attribute::message_integrity:
          b.integrity(*key);
          break;
        case attribute::fingerprint:
          b.fingerprint();
          break;
        case attribute::username:
          b.username(*m.username());
          break;
        case attribute::realm:
          b.realm(*m.realm());
          break;
        case attribute::nonce:
          b.nonce(*m.nonce());
          break;
        case attribute::software:
          b.software(*m.software());
          break;
        case attribute::priority:
          b.priority(*m.priority());
          break;
        case attribute::lifetime:
          b.lifetime(*m.lifetime());
          break;
        case attribute::use_candidate:
          b.use_candidate();
          break;
        case attribute::ice_controlled:
          b.ice_controlled(*m.ice_controlled());
          break;
        case attribute::ice_controlling:
          b.ice_controlling(*m.ice_controlling());
          break;
        case attribute::channel_number:
          b.channel_number(*m.channel_number());
          break;
        case attribute::requested_transport:
          b.requested_transport_udp();
          break;
        case attribute::additional_address_family:
          b.additional_address_family_v6();
          break;
        case attribute::error_code:
          b.error_code(m.error_code()->code, m.error_code()->reason);
          break;
        case attribute::xor_mapped_address:
          b.xor_mapped_address(*m.xor_mapped_address());
          break;
        case attribute::xor_peer_address:
          b.xor_peer_address(*m.xor_peer_address());
          break;
        case attribute::xor_relayed_address:
          b.xor_relayed_address(*m.xor_relayed_address(a->value[1] == 1 ? Family::v4 : Family::v6));
          break;
        default:
          b.raw(a->type, a->value);
          break;
      }
    }
    const auto bytes = b.finish();
    ASSERT_TRUE(bytes);
    ASSERT_EQ(hex(*bytes), hex(m.bytes()));
  }

  Credentials credentials_;
  std::map<TransactionId, ByteVector> keys_;
  bool is_check_ = false;
  Counts counts_;
};

TEST_P(Recording, EveryMessageParsesVerifiesAndIsWrittenAgainToTheSameBytes) {
  const auto folder = test::recordings() / GetParam().name;
  credentials_ = credentials_of(folder / "portal.jsonl");
  ASSERT_FALSE(credentials_.passwords.empty());
  ASSERT_FALSE(credentials_.stamp_secret.empty());
  for (const char* capture : {"wan.pcap", "client.pcap"}) {
    const Counts before = counts_;
    ASSERT_NO_FATAL_FAILURE(read(folder / capture));
    EXPECT_GT(counts_.messages, before.messages) << capture;
    EXPECT_GT(counts_.turn_verified, before.turn_verified) << capture;
  }
  EXPECT_GT(counts_.unsigned_messages, 0U);  // BINDING with the relay
  if (GetParam().has_checks) {
    EXPECT_GT(counts_.checks_verified, 0U);
    EXPECT_GT(counts_.fingerprints, 0U);
    EXPECT_GT(counts_.in_channel_data, 0U);
  }
  RecordProperty("messages", std::to_string(counts_.messages));
  RecordProperty("turn_verified", std::to_string(counts_.turn_verified));
  RecordProperty("checks_verified", std::to_string(counts_.checks_verified));
}

INSTANTIATE_TEST_SUITE_P(Real, Recording,
                         testing::Values(Folder{"A/direct", true}, Folder{"A/relayed", true},
                                         Folder{"B/direct", true}, Folder{"B/relayed", true},
                                         Folder{"C/direct", true}, Folder{"C/relayed", true},
                                         Folder{"C/iceless", false},
                                         Folder{"C/iceless-relayed", false}),
                         [](const auto& folder) {
                           std::string name = folder.param.name;
                           for (char& c : name) c = c == '/' || c == '-' ? '_' : c;
                           return name;
                         });

}  // namespace
}  // namespace fg::stun
