#include "base/address.h"

#include <charconv>

namespace fg {
namespace {

std::optional<std::array<std::uint8_t, 4>> parse_v4(std::string_view text) {
  std::array<std::uint8_t, 4> out{};
  for (std::size_t i = 0; i < 4; ++i) {
    const auto dot = text.find('.');
    const bool last = i == 3;
    if (last != (dot == std::string_view::npos)) return std::nullopt;
    const auto part = last ? text : text.substr(0, dot);
    if (part.empty() || part.size() > 3 || (part.size() > 1 && part[0] == '0')) return std::nullopt;
    unsigned value = 0;
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), value);
    if (error != std::errc{} || end != part.data() + part.size() || value > 255)
      return std::nullopt;
    out[i] = static_cast<std::uint8_t>(value);
    if (!last) text.remove_prefix(dot + 1);
  }
  return out;
}

// Groups of one side of "::"; fills out from `at`, returns the number of 16-bit groups or -1.
int parse_groups(std::string_view text, std::array<std::uint16_t, 8>& out, bool v4_allowed) {
  int n = 0;
  if (text.empty()) return 0;
  while (true) {
    const auto colon = text.find(':');
    const auto part = text.substr(0, colon);
    if (colon == std::string_view::npos && v4_allowed && part.find('.') != std::string_view::npos) {
      const auto v4 = parse_v4(part);
      if (!v4 || n > 6) return -1;
      out[static_cast<std::size_t>(n++)] = load_be16(v4->data());
      out[static_cast<std::size_t>(n++)] = load_be16(v4->data() + 2);
      return n;
    }
    if (part.empty() || part.size() > 4 || n > 7) return -1;
    unsigned value = 0;
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), value, 16);
    if (error != std::errc{} || end != part.data() + part.size()) return -1;
    out[static_cast<std::size_t>(n++)] = static_cast<std::uint16_t>(value);
    if (colon == std::string_view::npos) return n;
    text.remove_prefix(colon + 1);
  }
}

std::optional<std::array<std::uint8_t, 16>> parse_v6(std::string_view text) {
  std::array<std::uint16_t, 8> head{};
  std::array<std::uint16_t, 8> tail{};
  std::array<std::uint16_t, 8> groups{};
  const auto gap = text.find("::");
  if (gap == std::string_view::npos) {
    if (parse_groups(text, groups, true) != 8) return std::nullopt;
  } else {
    const auto right = text.substr(gap + 2);
    if (right.find("::") != std::string_view::npos) return std::nullopt;
    const int h = parse_groups(text.substr(0, gap), head, false);
    const int t = parse_groups(right, tail, true);
    if (h < 0 || t < 0 || h + t > 7) return std::nullopt;
    for (int i = 0; i < h; ++i)
      groups[static_cast<std::size_t>(i)] = head[static_cast<std::size_t>(i)];
    for (int i = 0; i < t; ++i) {
      groups[static_cast<std::size_t>(8 - t + i)] = tail[static_cast<std::size_t>(i)];
    }
  }
  std::array<std::uint8_t, 16> out{};
  for (std::size_t i = 0; i < 8; ++i) store_be16(out.data() + 2 * i, groups[i]);
  return out;
}

std::string v6_text(const std::array<std::uint8_t, 16>& b) {
  std::array<unsigned, 8> g{};
  for (std::size_t i = 0; i < 8; ++i) g[i] = load_be16(b.data() + 2 * i);
  // RFC 5952 §4.2.3: the longest run of at least two zero groups, the first of equals.
  int best = -1;
  int best_length = 1;
  for (int i = 0; i < 8;) {
    int n = 0;
    while (i + n < 8 && g[static_cast<std::size_t>(i + n)] == 0) ++n;
    if (n > best_length) {
      best = i;
      best_length = n;
    }
    i += n > 0 ? n : 1;
  }
  // RFC 5952 §5: only the well-known v4-mapped prefix is written with dotted decimal.
  const bool mapped = best == 0 && best_length == 5 && g[5] == 0xFFFF;
  std::string out;
  for (int i = 0; i < 8; ++i) {
    if (i == best) {
      out += "::";
      i += best_length - 1;
      continue;
    }
    if (!out.empty() && out.back() != ':') out += ':';
    if (mapped && i == 6) {
      return out + IpAddress::v4(b[12], b[13], b[14], b[15]).to_string();
    }
    std::array<char, 5> digits{};
    const auto end =
        std::to_chars(digits.data(), digits.data() + 5, g[static_cast<std::size_t>(i)], 16).ptr;
    out.append(digits.data(), end);
  }
  return out;
}

std::optional<std::uint16_t> parse_port(std::string_view text) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value > 65535)
    return std::nullopt;
  return static_cast<std::uint16_t>(value);
}

}  // namespace

std::optional<IpAddress> IpAddress::parse(std::string_view text) {
  if (text.find(':') != std::string_view::npos) {
    if (const auto b = parse_v6(text)) return v6(*b);
    return std::nullopt;
  }
  if (const auto b = parse_v4(text)) return v4(*b);
  return std::nullopt;
}

bool IpAddress::is_unspecified() const {
  return std::all_of(bytes_.begin(), bytes_.end(), [](std::uint8_t b) { return b == 0; });
}
bool IpAddress::is_loopback() const {
  if (is_v4()) return bytes_[0] == 127;
  return std::all_of(bytes_.begin(), bytes_.end() - 1, [](std::uint8_t b) { return b == 0; }) &&
         bytes_[15] == 1;
}
bool IpAddress::is_multicast() const {
  return is_v4() ? (bytes_[0] & 0xF0) == 0xE0 : bytes_[0] == 0xFF;
}
bool IpAddress::is_broadcast() const { return is_v4() && load_be32(bytes_.data()) == 0xFFFFFFFF; }
bool IpAddress::is_link_local() const {
  if (is_v4()) return bytes_[0] == 169 && bytes_[1] == 254;
  return bytes_[0] == 0xFE && (bytes_[1] & 0xC0) == 0x80;
}

std::string IpAddress::to_string() const {
  if (is_v6()) return v6_text(bytes_);
  std::string out;
  for (std::size_t i = 0; i < 4; ++i) {
    if (i > 0) out += '.';
    out += std::to_string(bytes_[i]);
  }
  return out;
}

std::optional<SocketAddress> SocketAddress::parse(std::string_view text) {
  std::string_view host;
  std::string_view port;
  if (!text.empty() && text[0] == '[') {
    const auto close = text.find("]:");
    if (close == std::string_view::npos) return std::nullopt;
    host = text.substr(1, close - 1);
    port = text.substr(close + 2);
    if (host.find(':') == std::string_view::npos) return std::nullopt;
  } else {
    const auto colon = text.find(':');
    if (colon == std::string_view::npos || text.find(':', colon + 1) != std::string_view::npos)
      return std::nullopt;
    host = text.substr(0, colon);
    port = text.substr(colon + 1);
  }
  const auto ip = IpAddress::parse(host);
  const auto number = parse_port(port);
  if (!ip || port.empty() || !number) return std::nullopt;
  return SocketAddress{*ip, *number};
}

std::string SocketAddress::to_string() const {
  return (ip.is_v6() ? "[" + ip.to_string() + "]" : ip.to_string()) + ":" + std::to_string(port);
}

Cidr::Cidr(IpAddress address, int prefix) : prefix_(std::clamp(prefix, 0, address.bits())) {
  auto bytes = copy_of(address.bytes());
  for (int bit = prefix_; bit < address.bits(); ++bit) {
    bytes[static_cast<std::size_t>(bit / 8)] &= static_cast<std::uint8_t>(~(0x80 >> (bit % 8)));
  }
  address_ = IpAddress::from_bytes(bytes);
}

std::optional<Cidr> Cidr::parse(std::string_view text, bool strict) {
  const auto slash = text.find('/');
  const auto ip = IpAddress::parse(text.substr(0, slash));
  if (!ip) return std::nullopt;
  if (slash == std::string_view::npos) {
    if (strict) return std::nullopt;
    return Cidr{*ip, ip->bits()};
  }
  const auto length = text.substr(slash + 1);
  const auto prefix = parse_port(length);
  if (length.empty() || !prefix || *prefix > ip->bits()) return std::nullopt;
  const Cidr out{*ip, *prefix};
  if (strict && out.address() != *ip) return std::nullopt;
  return out;
}

bool Cidr::contains(const IpAddress& ip) const {
  if (ip.family() != family()) return false;
  const auto whole = static_cast<std::size_t>(prefix_ / 8);
  if (!std::equal(address_.raw().begin(),
                  address_.raw().begin() + static_cast<std::ptrdiff_t>(whole), ip.raw().begin())) {
    return false;
  }
  const int rest = prefix_ % 8;
  if (rest == 0) return true;
  const auto mask = static_cast<std::uint8_t>(0xFF << (8 - rest));
  return (address_.raw()[whole] & mask) == (ip.raw()[whole] & mask);
}

bool Cidr::contains(const Cidr& other) const {
  return other.prefix_ >= prefix_ && contains(other.address_);
}

std::string Cidr::to_string() const { return address_.to_string() + "/" + std::to_string(prefix_); }

}  // namespace fg
