#include "control/path/candidate.h"

namespace fg::path {
namespace {

// The bytes and weights of the original's line; the receiver reads neither.
struct KindCode {
  std::uint8_t in_foundation;
  std::uint32_t preference;
};
KindCode code_of(CandidateKind kind) {
  if (kind == CandidateKind::host) return {0, 126};
  return kind == CandidateKind::relay ? KindCode{2, 0} : KindCode{1, 100};
}

// FNV-1a, 64 bits.
class Hash {
 public:
  void mix(std::uint8_t byte) { value_ = (value_ ^ byte) * 0x100000001B3ULL; }
  void mix(const SocketAddress& address) {
    for (const auto byte : address.ip.bytes()) mix(byte);
    mix(static_cast<std::uint8_t>(address.port >> 8));
    mix(static_cast<std::uint8_t>(address.port));
  }
  [[nodiscard]] std::uint64_t value() const { return value_; }

 private:
  std::uint64_t value_ = 0xCBF29CE484222325ULL;
};

}  // namespace

Candidate make_candidate(CandidateKind kind, const SocketAddress& address,
                         const SocketAddress& base) {
  const auto code = code_of(kind);
  Hash hash;
  hash.mix(code.in_foundation);
  hash.mix(address);
  Candidate out{.kind = kind,
                .address = address,
                .base = kind == CandidateKind::srflx ? base : address,
                .raddr = std::nullopt,
                .priority = code.preference << 24 | 0xFFFF << 8 | 255,
                .foundation = {}};
  if (kind != CandidateKind::host) {
    hash.mix(base);
    out.raddr = base;
  }
  out.foundation = std::to_string(hash.value());
  return out;
}

std::string to_line(const Candidate& candidate) {
  auto line = "candidate:" + candidate.foundation + " 1 udp " + std::to_string(candidate.priority) +
              ' ' + candidate.address.ip.to_string() + ' ' +
              std::to_string(candidate.address.port) + " typ " +
              std::string{ice::name_of(candidate.kind)};
  if (candidate.raddr) {
    line += " raddr " + candidate.raddr->ip.to_string() + " rport " +
            std::to_string(candidate.raddr->port);
  }
  return line;
}

std::optional<Candidate> parse_line(std::string_view text) {
  auto line = ice::parse_line(text);
  if (!line || line->candidate.kind == CandidateKind::prflx) return std::nullopt;
  const bool is_host = line->candidate.kind == CandidateKind::host;
  if (!is_host && !line->candidate.raddr) return std::nullopt;
  if (is_host) line->candidate.raddr.reset();
  return std::move(line->candidate);
}

}  // namespace fg::path
