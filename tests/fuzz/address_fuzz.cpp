// Texts of addresses, networks, ids and binary values. What is accepted is written back in one
// canonical form that reads as the same value.
#include "base/address.h"
#include "base/encoding.h"
#include "base/ids.h"
#include "tests/fuzz/support.h"

namespace {

using namespace fg;

void addresses(std::string_view text) {
  if (const auto ip = IpAddress::parse(text)) {
    FG_LAW(IpAddress::parse(ip->to_string()) == ip);
    FG_LAW(IpAddress::from_bytes(ip->bytes()) == *ip);
    FG_LAW(ip->is_v6() == (text.find(':') != std::string_view::npos));
    FG_LAW(ip->to_string().size() <= 39);
    FG_LAW(ip->is_v6() || ip->to_string() == text);  // dotted decimal has one spelling
  }
  if (const auto address = SocketAddress::parse(text)) {
    FG_LAW(SocketAddress::parse(address->to_string()) == address);
    FG_LAW(!IpAddress::parse(text));
  }
}

void networks(std::string_view text) {
  const auto strict = Cidr::parse(text, true);
  const auto lenient = Cidr::parse(text, false);
  if (strict) FG_LAW(strict == lenient);
  if (!lenient) return;
  FG_LAW(lenient->prefix() >= 0 && lenient->prefix() <= lenient->address().bits());
  FG_LAW(Cidr::parse(lenient->to_string(), true) == lenient);
  FG_LAW(lenient->contains(lenient->address()) && lenient->contains(*lenient));
  FG_LAW((Cidr{lenient->address(), lenient->prefix()} == *lenient));
  if (lenient->prefix() > 0)
    FG_LAW((Cidr{lenient->address(), lenient->prefix() - 1}.contains(*lenient)));
}

void encodings(std::string_view text) {
  if (const auto bytes = decode_base64(text)) FG_LAW(base64(*bytes) == text);
  if (const auto bytes = decode_hex(text)) FG_LAW(decode_hex(hex(*bytes)) == bytes);
  if (const auto bytes = decode_base64url(text)) FG_LAW(bytes->size() == text.size() * 3 / 4);
  if (const auto id = ClientId::parse(text)) {
    FG_LAW(ClientId::parse(id->to_string()) == id);
    FG_LAW(id->to_string().size() == 36);
  }
  const auto raw = as_bytes(text);
  FG_LAW(equal(decode_base64(base64(raw)).value(), raw));
  FG_LAW(equal(decode_hex(hex(raw)).value(), raw));
}

void run(Bytes input) {
  addresses(as_text(input));
  networks(as_text(input));
  encodings(as_text(input));
}

}  // namespace

FG_FUZZ_TARGET(run)
