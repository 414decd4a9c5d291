#include "control/ice/candidate.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "base/bytes.h"
#include "base/encoding.h"

namespace fg::ice {
namespace {

constexpr std::uint32_t kComponent = 1;
constexpr std::string_view kPrefix = "candidate:";

template <class T>
std::optional<T> parse_number(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// Words separated by any amount of white space.
class Words {
 public:
  explicit Words(std::string_view text) : rest_(text) {}
  // Empty when nothing is left.
  std::string_view next() {
    constexpr std::string_view kSpace = " \t\r\n";
    const auto from = rest_.find_first_not_of(kSpace);
    if (from == std::string_view::npos) return {};
    rest_.remove_prefix(from);
    const auto word = rest_.substr(0, rest_.find_first_of(kSpace));
    rest_.remove_prefix(word.size());
    return word;
  }

 private:
  std::string_view rest_;
};

bool is_ice_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '+' ||
         c == '/';
}

bool is_udp(std::string_view word) {
  constexpr std::string_view kUdp = "udp";
  return std::equal(word.begin(), word.end(), kUdp.begin(), kUdp.end(),
                    [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a - 'A' + 'a' : a) == b; });
}

std::optional<CandidateKind> parse_kind(std::string_view word) {
  for (const auto kind :
       {CandidateKind::host, CandidateKind::prflx, CandidateKind::srflx, CandidateKind::relay}) {
    if (name_of(kind) == word) return kind;
  }
  return std::nullopt;
}

std::optional<SocketAddress> parse_address(std::string_view ip, std::string_view port) {
  const auto address = IpAddress::parse(ip);
  const auto number = parse_number<std::uint16_t>(port);
  if (!address || !number) return std::nullopt;
  return SocketAddress{*address, *number};
}

// The pairs after the type. False when one that matters has a value that does not parse.
bool parse_extensions(Words& words, CandidateLine& out) {
  std::optional<IpAddress> raddr;
  std::optional<std::uint16_t> rport;
  for (auto key = words.next(); !key.empty(); key = words.next()) {
    const auto value = words.next();
    if (value.empty())
      break;  // A ignores what follows the part it understands; a lone word is such a rest
    if (key == "raddr") {
      raddr = IpAddress::parse(value);
      if (!raddr) return false;
    } else if (key == "rport") {
      rport = parse_number<std::uint16_t>(value);
      if (!rport) return false;
    } else if (key == "ufrag") {
      out.ufrag = std::string{value};
    }
  }
  if (raddr && rport) out.candidate.raddr = SocketAddress{*raddr, *rport};
  return true;
}

}  // namespace

std::string_view name_of(CandidateKind kind) {
  switch (kind) {
    case CandidateKind::host:
      return "host";
    case CandidateKind::prflx:
      return "prflx";
    case CandidateKind::srflx:
      return "srflx";
    case CandidateKind::relay:
      return "relay";
  }
  return {};
}

bool is_same(const Candidate& a, const Candidate& b) {
  return a.kind == b.kind && a.address == b.address && a.base == b.base && a.raddr == b.raddr;
}

bool is_valid_address(const IpAddress& ip) {
  if (ip.is_unspecified() || ip.is_multicast()) return false;
  return ip.is_v6() || (!ip.is_broadcast() && !ip.is_link_local());
}

std::uint32_t type_preference(CandidateKind kind) {
  switch (kind) {
    case CandidateKind::host:
      return 126;
    case CandidateKind::prflx:
      return 110;
    case CandidateKind::srflx:
      return 100;
    case CandidateKind::relay:
      return 2;
  }
  return 0;
}

// Spec connectivity 2.7: a band for each kind; IPv6 before IPv4; earlier before later.
std::uint32_t local_preference(CandidateKind kind, const LocalRank& rank) {
  constexpr std::uint32_t kCrossFamilyPenalty = 1000;
  std::uint32_t start = 0;
  switch (kind) {
    case CandidateKind::host:
      start = 65535;
      break;
    case CandidateKind::prflx:
      start = 49151;
      break;
    case CandidateKind::srflx:
      start = 32767;
      break;
    case CandidateKind::relay:
      start = 16383;
      break;
  }
  std::uint32_t penalty = rank.family == Family::v4 ? 1 : 0;
  penalty += 2 * std::min<std::uint32_t>(rank.earlier, 0xFFFF);
  if (rank.cross_family) penalty += kCrossFamilyPenalty;
  return start - std::min(start, penalty);
}

std::uint32_t candidate_priority(CandidateKind kind, std::uint32_t local_preference) {
  return type_preference(kind) << 24 | (local_preference & 0xFFFF) << 8 | (256 - kComponent);
}

std::uint32_t check_priority(std::uint32_t priority) {
  return type_preference(CandidateKind::prflx) << 24 | (priority & 0x00FFFFFF);
}

std::uint64_t pair_priority(std::uint32_t controlling, std::uint32_t controlled) {
  const std::uint64_t low = std::min(controlling, controlled);
  const std::uint64_t high = std::max(controlling, controlled);
  return (low << 32) + 2 * high + (controlling > controlled ? 1 : 0);
}

std::string make_foundation(CandidateKind kind, const IpAddress& base, std::uint32_t priority) {
  // FNV-1a: any stable hash does, peers compare foundations for equality at most.
  std::uint64_t hash = 0xCBF29CE484222325ULL;
  const auto mix = [&hash](std::uint8_t byte) { hash = (hash ^ byte) * 0x100000001B3ULL; };
  mix(static_cast<std::uint8_t>(kind));
  mix(static_cast<std::uint8_t>(base.family()));
  for (const auto byte : base.bytes()) mix(byte);

  std::array<std::uint8_t, 12> bytes{};
  // Little-endian priority first, as the originals do (spec portal 4).
  store_le32(bytes.data(), priority);
  store_be64(bytes.data() + 4, hash);
  return hex(bytes);
}

std::string to_line(const Candidate& candidate, std::string_view ufrag, LineForm form) {
  std::string line{kPrefix};
  line += candidate.foundation;
  line += " 1 udp ";
  line += std::to_string(candidate.priority);
  line += ' ';
  line += candidate.address.ip.to_string();
  line += ' ';
  line += std::to_string(candidate.address.port);
  line += " typ ";
  line += name_of(candidate.kind);
  if (form == LineForm::legacy) return line;
  // The base is nobody's business in ICE mode, so it is written as zeros (spec connectivity 2.8).
  if (candidate.kind == CandidateKind::srflx || candidate.kind == CandidateKind::relay) {
    line += candidate.address.ip.is_v4() ? " raddr 0.0.0.0 rport 0" : " raddr :: rport 0";
  }
  if (!ufrag.empty()) {
    line += " ufrag ";
    line += ufrag;
  }
  return line;
}

std::optional<CandidateLine> parse_line(std::string_view line) {
  if (line.size() > kLineMax || !line.starts_with(kPrefix)) return std::nullopt;
  Words words{line.substr(kPrefix.size())};
  CandidateLine out;
  const auto foundation = words.next();
  if (foundation.empty() || foundation.size() > kFoundationMax) return std::nullopt;
  // Also keeps the internal foundation of prflx candidates out of reach of the portal.
  if (!std::all_of(foundation.begin(), foundation.end(), is_ice_char)) return std::nullopt;
  out.candidate.foundation = std::string{foundation};

  if (parse_number<std::uint32_t>(words.next()) != kComponent) return std::nullopt;
  if (!is_udp(words.next())) return std::nullopt;
  const auto priority = parse_number<std::uint32_t>(words.next());
  if (!priority) return std::nullopt;
  const auto ip = words.next();
  const auto address = parse_address(ip, words.next());
  if (!address || words.next() != "typ") return std::nullopt;
  const auto kind = parse_kind(words.next());
  if (!kind) return std::nullopt;

  out.candidate.priority = *priority;
  out.candidate.address = *address;
  out.candidate.base = *address;  // a remote base is unknown and of no use (spec connectivity 2.9)
  out.candidate.kind = *kind;
  if (!parse_extensions(words, out)) return std::nullopt;
  return out;
}

}  // namespace fg::ice
