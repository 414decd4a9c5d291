// Fluent builder of IP packets for tests: udp().from("10.0.0.1", 5000).to("10.0.0.2",
// 53).payload("x").build(). The family is that of the addresses. Lengths and checksums are right
// unless a test asks otherwise; the arithmetic is independent of src/packet. describe() prints a
// packet and the Scapy line that rebuilds it.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/address.h"
#include "base/bytes.h"
#include "base/encoding.h"

namespace fg::test {

// RFC 1071, one word at a time.
inline std::uint32_t naive_sum(Bytes data, std::uint32_t sum = 0) {
  for (std::size_t i = 0; i < data.size(); i += 2) {
    sum += static_cast<std::uint32_t>(data[i]) << 8;
    if (i + 1 < data.size()) sum += data[i + 1];
    sum = (sum & 0xFFFF) + (sum >> 16);
  }
  return sum;
}
inline std::uint16_t naive_checksum(Bytes data, std::uint32_t sum = 0) {
  return static_cast<std::uint16_t>(~naive_sum(data, sum));
}
inline std::uint32_t naive_pseudo_header(const IpAddress& source, const IpAddress& destination,
                                         std::uint8_t protocol, std::size_t length) {
  std::uint32_t sum = naive_sum(source.bytes());
  sum = naive_sum(destination.bytes(), sum);
  const std::uint8_t tail[] = {static_cast<std::uint8_t>(length >> 24),
                               static_cast<std::uint8_t>(length >> 16),
                               static_cast<std::uint8_t>(length >> 8),
                               static_cast<std::uint8_t>(length),
                               0,
                               protocol};
  return naive_sum(tail, sum);
}

inline IpAddress ip(std::string_view text) {
  const auto address = IpAddress::parse(text);
  if (!address) std::abort();
  return *address;
}
// Bytes 0, 1, 2, … so that a misplaced one shows.
inline ByteVector counting(std::size_t n, std::uint8_t first = 0) {
  ByteVector out(n);
  for (std::size_t i = 0; i < n; ++i) out[i] = static_cast<std::uint8_t>(first + i);
  return out;
}

class PacketBuilder {
 public:
  enum class Kind : std::uint8_t { tcp, udp, echo, icmp, other };

  explicit PacketBuilder(Kind kind) : kind_(kind) {}

  PacketBuilder& from(std::string_view address, std::uint16_t port = 0) {
    return from(ip(address), port);
  }
  PacketBuilder& from(const IpAddress& address, std::uint16_t port = 0) {
    source_ = address;
    source_port_ = port;
    return *this;
  }
  PacketBuilder& to(std::string_view address, std::uint16_t port = 0) {
    return to(ip(address), port);
  }
  PacketBuilder& to(const IpAddress& address, std::uint16_t port = 0) {
    destination_ = address;
    destination_port_ = port;
    return *this;
  }
  PacketBuilder& payload(std::string_view text) { return payload(copy_of(as_bytes(text))); }
  PacketBuilder& payload(ByteVector bytes) {
    payload_ = std::move(bytes);
    return *this;
  }
  PacketBuilder& payload_size(std::size_t n) { return payload(counting(n)); }

  // IP header
  PacketBuilder& ttl(std::uint8_t v) { return set(ttl_, v); }
  PacketBuilder& traffic_class(std::uint8_t v) { return set(traffic_class_, v); }
  PacketBuilder& ecn(std::uint8_t v) {
    return set(traffic_class_, static_cast<std::uint8_t>((traffic_class_ & ~3U) | v));
  }
  PacketBuilder& flow_label(std::uint32_t v) { return set(flow_label_, v); }
  PacketBuilder& id(std::uint16_t v) { return set(id_, v); }
  PacketBuilder& dont_fragment(bool v = true) { return flag(0x4000, v); }
  PacketBuilder& more_fragments(bool v = true) { return flag(0x2000, v); }
  PacketBuilder& fragment_offset(std::uint16_t units_of_8) {
    return set(fragment_, static_cast<std::uint16_t>((fragment_ & 0xE000) | units_of_8));
  }
  PacketBuilder& ip_options(ByteVector v) {
    return set(ip_options_, std::move(v));
  }  // a multiple of four bytes
  // Adds an IPv6 extension header. `body` follows the two bytes next header and length; 6 + 8n
  // bytes.
  PacketBuilder& extension(std::uint8_t type, ByteVector body = ByteVector(6)) {
    extensions_.emplace_back(type, std::move(body));
    return *this;
  }
  // IPv6 fragment header.
  PacketBuilder& fragment_header(std::uint16_t units_of_8, bool more) {
    const auto v = static_cast<unsigned>(units_of_8 << 3 | (more ? 1 : 0));
    return extension(
        44, {static_cast<std::uint8_t>(v >> 8), static_cast<std::uint8_t>(v), 0, 0, 0x12, 0x34});
  }
  PacketBuilder& protocol(std::uint8_t v) {
    return set(protocol_, v);
  }  // of Kind::other, or a deliberately wrong one

  // TCP
  PacketBuilder& sequence(std::uint32_t v) { return set(sequence_, v); }
  PacketBuilder& acknowledgement(std::uint32_t v) { return set(acknowledgement_, v); }
  PacketBuilder& window(std::uint16_t v) { return set(window_, v); }
  PacketBuilder& flags(std::uint8_t v) { return set(flags_, v); }
  PacketBuilder& tcp_options(ByteVector v) {
    return set(tcp_options_, std::move(v));
  }  // a multiple of four bytes

  // ICMP
  PacketBuilder& type(std::uint8_t t, std::uint8_t c = 0) {
    type_ = t;
    code_ = c;
    return *this;
  }
  PacketBuilder& identifier(std::uint16_t v) { return set(identifier_, v); }
  PacketBuilder& rest_of_header(std::uint32_t v) { return set(rest_, v); }

  PacketBuilder& without_checksum() { return set(checksum_, Checksum::zero); }  // transport
  PacketBuilder& with_wrong_checksum() { return set(checksum_, Checksum::wrong); }

  [[nodiscard]] ByteVector build() const {
    const bool v4 = destination_.is_v4();
    ByteVector transport = build_transport(v4);
    return v4 ? build_v4(transport) : build_v6(transport);
  }

 private:
  enum class Checksum : std::uint8_t { right, zero, wrong };

  template <class T, class V>
  PacketBuilder& set(T& member, V&& value) {
    member = std::forward<V>(value);
    return *this;
  }
  PacketBuilder& flag(std::uint16_t bit, bool on) {
    return set(fragment_, static_cast<std::uint16_t>(on ? fragment_ | bit : fragment_ & ~bit));
  }
  static void put16(ByteVector& out, std::uint32_t v) {
    out.push_back(static_cast<std::uint8_t>(v >> 8));
    out.push_back(static_cast<std::uint8_t>(v));
  }
  static void put32(ByteVector& out, std::uint32_t v) {
    put16(out, v >> 16);
    put16(out, v);
  }
  static void put(ByteVector& out, Bytes v) { out.insert(out.end(), v.begin(), v.end()); }

  [[nodiscard]] std::uint8_t transport_protocol(bool v4) const {
    if (protocol_) return *protocol_;
    switch (kind_) {
      case Kind::tcp:
        return 6;
      case Kind::udp:
        return 17;
      case Kind::echo:
      case Kind::icmp:
        return v4 ? 1 : 58;
      case Kind::other:
        break;
    }
    return 59;
  }

  [[nodiscard]] ByteVector build_transport(bool v4) const {
    ByteVector out;
    std::size_t checksum = 0;
    switch (kind_) {
      case Kind::tcp:
        put16(out, source_port_);
        put16(out, destination_port_);
        put32(out, sequence_);
        put32(out, acknowledgement_);
        out.push_back(static_cast<std::uint8_t>((5 + tcp_options_.size() / 4) << 4));
        out.push_back(flags_);
        put16(out, window_);
        put32(out, 0);
        put(out, tcp_options_);
        checksum = 16;
        break;
      case Kind::udp:
        put16(out, source_port_);
        put16(out, destination_port_);
        put16(out, static_cast<std::uint32_t>(8 + payload_.size()));
        put16(out, 0);
        checksum = 6;
        break;
      case Kind::echo:
      case Kind::icmp:
        out.push_back(kind_ == Kind::echo && !type_ ? std::uint8_t(v4 ? 8 : 128)
                                                    : type_.value_or(0));
        out.push_back(code_);
        put16(out, 0);
        if (kind_ == Kind::echo) {
          put16(out, identifier_);
          put16(out, sequence_);
        } else {
          put32(out, rest_);
        }
        checksum = 2;
        break;
      case Kind::other:
        return payload_;
    }
    put(out, payload_);
    if (checksum_ == Checksum::zero) return out;
    const auto protocol = transport_protocol(v4);
    const bool covers_addresses = protocol != 1;
    const auto pseudo =
        covers_addresses ? naive_pseudo_header(source_, destination_, protocol, out.size()) : 0U;
    auto value = naive_checksum(out, pseudo);
    if (value == 0) value = 0xFFFF;
    if (checksum_ == Checksum::wrong) value = static_cast<std::uint16_t>(value ^ 0x0101);
    store_be16(out.data() + checksum, value);
    return out;
  }

  [[nodiscard]] ByteVector build_v4(const ByteVector& transport) const {
    ByteVector out;
    const auto header = 20 + ip_options_.size();
    out.push_back(static_cast<std::uint8_t>(0x40 | header / 4));
    out.push_back(traffic_class_);
    put16(out, static_cast<std::uint32_t>(header + transport.size()));
    put16(out, id_);
    put16(out, fragment_);
    out.push_back(ttl_);
    out.push_back(transport_protocol(true));
    put16(out, 0);
    put(out, source_.bytes());
    put(out, destination_.bytes());
    put(out, ip_options_);
    store_be16(out.data() + 10, naive_checksum(out));
    put(out, transport);
    return out;
  }

  [[nodiscard]] ByteVector build_v6(const ByteVector& transport) const {
    ByteVector chain;
    for (std::size_t i = 0; i < extensions_.size(); ++i) {
      const auto& [type, body] = extensions_[i];
      chain.push_back(i + 1 < extensions_.size() ? extensions_[i + 1].first
                                                 : transport_protocol(false));
      chain.push_back(static_cast<std::uint8_t>(type == 44 ? 0 : (body.size() + 2) / 8 - 1));
      put(chain, body);
    }
    ByteVector out;
    put32(out, 0x60000000U | std::uint32_t{traffic_class_} << 20 | flow_label_);
    put16(out, static_cast<std::uint32_t>(chain.size() + transport.size()));
    out.push_back(extensions_.empty() ? transport_protocol(false) : extensions_.front().first);
    out.push_back(ttl_);
    put(out, source_.bytes());
    put(out, destination_.bytes());
    put(out, chain);
    put(out, transport);
    return out;
  }

  Kind kind_;
  IpAddress source_ = IpAddress::v4(10, 0, 0, 1);
  IpAddress destination_ = IpAddress::v4(10, 0, 0, 2);
  std::uint16_t source_port_ = 0;
  std::uint16_t destination_port_ = 0;
  ByteVector payload_;
  std::uint8_t ttl_ = 64;
  std::uint8_t traffic_class_ = 0;
  std::uint32_t flow_label_ = 0;
  std::uint16_t id_ = 0;
  std::uint16_t fragment_ = 0x4000;
  ByteVector ip_options_;
  std::vector<std::pair<std::uint8_t, ByteVector>> extensions_;
  std::optional<std::uint8_t> protocol_;
  std::uint32_t sequence_ = 1;
  std::uint32_t acknowledgement_ = 1;
  std::uint16_t window_ = 0x2000;
  std::uint8_t flags_ = 0x10;
  ByteVector tcp_options_;
  std::optional<std::uint8_t> type_;
  std::uint8_t code_ = 0;
  std::uint16_t identifier_ = 1;
  std::uint32_t rest_ = 0;
  Checksum checksum_ = Checksum::right;
};

inline PacketBuilder tcp() { return PacketBuilder{PacketBuilder::Kind::tcp}; }
inline PacketBuilder udp() { return PacketBuilder{PacketBuilder::Kind::udp}; }
// An echo request unless type() says otherwise; sequence() is its sequence number.
inline PacketBuilder echo(std::uint16_t identifier) {
  return PacketBuilder{PacketBuilder::Kind::echo}.identifier(identifier);
}
inline PacketBuilder icmp(std::uint8_t type, std::uint8_t code = 0) {
  return PacketBuilder{PacketBuilder::Kind::icmp}.type(type, code);
}
inline PacketBuilder other_ip(std::uint8_t protocol) {
  return PacketBuilder{PacketBuilder::Kind::other}.protocol(protocol);
}

// Whether every checksum in a whole packet without extension headers is right (UDP over IPv4 may
// have none).
inline bool has_right_checksums(Bytes packet) {
  const bool v4 = packet[0] >> 4 == 4;
  const std::size_t header = v4 ? (packet[0] & 0xFU) * 4 : 40;
  const auto is_ones = [](std::uint32_t sum) { return sum == 0xFFFF; };
  if (v4 && !is_ones(naive_sum(packet.first(header)))) return false;
  const auto protocol = packet[v4 ? 9 : 6];
  const auto transport = packet.subspan(header);
  if (protocol == 1) return is_ones(naive_sum(transport));
  if (protocol == 17 && v4 && load_be16(transport.data() + 6) == 0) return true;
  if (protocol != 6 && protocol != 17 && protocol != 58) return true;
  const auto source = IpAddress::from_bytes(packet.subspan(v4 ? 12 : 8, v4 ? 4 : 16));
  const auto destination = IpAddress::from_bytes(packet.subspan(v4 ? 16 : 24, v4 ? 4 : 16));
  return is_ones(
      naive_sum(transport, naive_pseudo_header(source, destination, protocol, transport.size())));
}

// For failure messages: addresses, protocol and size, then the line for Scapy.
inline std::string describe(Bytes packet) {
  const bool v4 = !packet.empty() && packet[0] >> 4 == 4;
  const bool v6 = !packet.empty() && packet[0] >> 4 == 6;
  std::string out;
  if ((v4 && packet.size() >= 20) || (v6 && packet.size() >= 40)) {
    out += IpAddress::from_bytes(packet.subspan(v4 ? 12 : 8, v4 ? 4 : 16)).to_string() + " > " +
           IpAddress::from_bytes(packet.subspan(v4 ? 16 : 24, v4 ? 4 : 16)).to_string() +
           " protocol " + std::to_string(packet[v4 ? 9 : 6]) + ", ";
  }
  out += std::to_string(packet.size()) + " bytes\n";
  return out + (v6 ? "IPv6" : "IP") + "(bytes.fromhex(\"" + hex(packet) + "\")).show2()";
}

}  // namespace fg::test
