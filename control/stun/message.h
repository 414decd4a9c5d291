// A STUN message as a view into the datagram it came in (RFC 8489 §5, spec connectivity 2.1
// and 2.2). Holding a Message proves: header, cookie and lengths are sound, every attribute lies
// inside, and a FINGERPRINT, if there is one, matches. It does not prove who sent it: ask
// verify_integrity().
//
// Typed getters see the first attribute of a type before MESSAGE-INTEGRITY; what follows that is
// not authenticated and is ignored but for FINGERPRINT. Unknown attributes are skipped, also
// comprehension-required ones. A getter yields nothing when the attribute is absent or has the
// wrong size. Left out: SHA-256 integrity, ALTERNATE-SERVER, TCP framing.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "base/address.h"
#include "base/bytes.h"

namespace fg::stun {

using TransactionId = std::array<std::uint8_t, 12>;

inline constexpr std::uint32_t kMagicCookie = 0x2112A442;  // RFC 8489 §5
inline constexpr std::size_t kHeaderSize = 20;             // RFC 8489 §5
inline constexpr std::size_t kUsernameMax = 513;           // spec connectivity 2.1
inline constexpr std::size_t kTextMax =
    763;  // spec connectivity 2.1: REALM, NONCE, SOFTWARE, reason

// RFC 8489 §18.2, RFC 8656 §17.
enum class Method : std::uint16_t {
  binding = 0x001,
  allocate = 0x003,
  refresh = 0x004,
  send = 0x006,
  data = 0x007,
  create_permission = 0x008,
  channel_bind = 0x009,
};
enum class Class : std::uint8_t { request, indication, success, error };

// Attribute types: RFC 8489 §18.3, RFC 8656 §18, RFC 8445 §20.
namespace attribute {
inline constexpr std::uint16_t mapped_address = 0x0001;
inline constexpr std::uint16_t username = 0x0006;
inline constexpr std::uint16_t message_integrity = 0x0008;
inline constexpr std::uint16_t error_code = 0x0009;
inline constexpr std::uint16_t channel_number = 0x000C;
inline constexpr std::uint16_t lifetime = 0x000D;
inline constexpr std::uint16_t xor_peer_address = 0x0012;
inline constexpr std::uint16_t realm = 0x0014;
inline constexpr std::uint16_t nonce = 0x0015;
inline constexpr std::uint16_t xor_relayed_address = 0x0016;
inline constexpr std::uint16_t requested_address_family = 0x0017;
inline constexpr std::uint16_t requested_transport = 0x0019;
inline constexpr std::uint16_t xor_mapped_address = 0x0020;
inline constexpr std::uint16_t priority = 0x0024;
inline constexpr std::uint16_t use_candidate = 0x0025;
inline constexpr std::uint16_t additional_address_family = 0x8000;
inline constexpr std::uint16_t software = 0x8022;
inline constexpr std::uint16_t fingerprint = 0x8028;
inline constexpr std::uint16_t ice_controlled = 0x8029;
inline constexpr std::uint16_t ice_controlling = 0x802A;
}  // namespace attribute

struct Attribute {
  std::uint16_t type = 0;
  Bytes value;         // without padding
  std::size_t at = 0;  // offset of the attribute's header in the datagram
};

struct ErrorCode {
  int code = 0;  // 300..699
  std::string_view reason;
};

// The two interleaved fields of the message type (RFC 8489 §5).
[[nodiscard]] constexpr std::uint16_t make_type(Method method, Class type_class) {
  const auto m = static_cast<unsigned>(method);
  const auto c = static_cast<unsigned>(type_class);
  return static_cast<std::uint16_t>((m & 0x00F) | (c & 1) << 4 | (m & 0x070) << 1 | (c & 2) << 7 |
                                    (m & 0xF80) << 2);
}

class Message {
 public:
  // Nothing: not STUN, and the datagram may be something else. The bytes must outlive the message.
  static std::optional<Message> parse(Bytes datagram);

  [[nodiscard]] std::uint16_t type() const { return load_be16(bytes_.data()); }
  [[nodiscard]] Class type_class() const;
  [[nodiscard]] Method method() const;  // may be a value outside the enumeration
  [[nodiscard]] bool is(Method method, Class type_class) const {
    return type() == make_type(method, type_class);
  }
  [[nodiscard]] TransactionId transaction() const;
  [[nodiscard]] Bytes bytes() const { return bytes_; }

  // Every attribute in wire order, those after MESSAGE-INTEGRITY included:
  //   for (auto a = message.first(); a; a = message.next(*a))
  [[nodiscard]] std::optional<Attribute> first() const { return attribute_at(kHeaderSize); }
  [[nodiscard]] std::optional<Attribute> next(const Attribute& attribute) const;
  // First one of this type that MESSAGE-INTEGRITY covers.
  [[nodiscard]] std::optional<Bytes> find(std::uint16_t type) const;

  [[nodiscard]] bool has_integrity() const { return integrity_at_ != 0; }
  // Constant time in the comparison; false without MESSAGE-INTEGRITY. RFC 8489 §14.5.
  [[nodiscard]] bool verify_integrity(Bytes key) const;
  [[nodiscard]] bool has_fingerprint() const { return has_fingerprint_; }
  // MESSAGE-INTEGRITY and FINGERPRINT are the last two attributes.
  [[nodiscard]] bool ends_sealed() const;

  [[nodiscard]] std::optional<std::string_view> username() const {
    return text(attribute::username, kUsernameMax);
  }
  [[nodiscard]] std::optional<std::string_view> realm() const {
    return text(attribute::realm, kTextMax);
  }
  [[nodiscard]] std::optional<std::string_view> nonce() const {
    return text(attribute::nonce, kTextMax);
  }
  [[nodiscard]] std::optional<std::string_view> software() const {
    return text(attribute::software, kTextMax);
  }
  [[nodiscard]] std::optional<ErrorCode> error_code() const;
  [[nodiscard]] std::optional<SocketAddress> xor_mapped_address() const;
  [[nodiscard]] std::optional<SocketAddress> xor_peer_address() const;
  [[nodiscard]] std::optional<SocketAddress> xor_relayed_address(
      Family family) const;  // first of that family
  [[nodiscard]] std::optional<std::uint32_t> lifetime() const { return u32(attribute::lifetime); }
  [[nodiscard]] std::optional<std::uint32_t> priority() const { return u32(attribute::priority); }
  [[nodiscard]] std::optional<std::uint16_t> channel_number() const;
  [[nodiscard]] bool use_candidate() const { return find(attribute::use_candidate).has_value(); }
  [[nodiscard]] std::optional<std::uint64_t> ice_controlled() const {
    return u64(attribute::ice_controlled);
  }
  [[nodiscard]] std::optional<std::uint64_t> ice_controlling() const {
    return u64(attribute::ice_controlling);
  }
  // RFC 8656 §18.6 and §18.12: protocol 17 is UDP; family 1 is IPv4, 2 is IPv6.
  [[nodiscard]] std::optional<std::uint8_t> requested_transport() const;
  [[nodiscard]] std::optional<std::uint8_t> additional_address_family() const;

 private:
  explicit Message(Bytes bytes) : bytes_(bytes) {}
  [[nodiscard]] bool scan();
  [[nodiscard]] bool verify_fingerprint(const Attribute& fingerprint) const;
  [[nodiscard]] std::optional<Attribute> attribute_at(std::size_t at) const;
  [[nodiscard]] std::optional<std::string_view> text(std::uint16_t type, std::size_t max) const;
  [[nodiscard]] std::optional<std::uint32_t> u32(std::uint16_t type) const;
  [[nodiscard]] std::optional<std::uint64_t> u64(std::uint16_t type) const;
  [[nodiscard]] std::optional<std::uint8_t> first_byte_of_four(std::uint16_t type) const;
  [[nodiscard]] std::optional<SocketAddress> xor_address(Bytes value) const;

  Bytes bytes_;
  std::size_t covered_end_ =
      0;  // getters look no further: start of MESSAGE-INTEGRITY, of FINGERPRINT, or the end
  std::size_t integrity_at_ = 0;  // 0: none
  bool has_fingerprint_ = false;
};

}  // namespace fg::stun
