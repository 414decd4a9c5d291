// How to ask the portal for a WebSocket and what its refusals mean (spec portal 1.1 to 1.5). The
// generation of the portal is discovered from its answers: the v2 path first, 404 there means the
// v1 path, a v1 portal that does not see the token in the header is of generation A. What was
// learnt is kept until the portal refuses it. A forced generation skips all that.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/secret.h"
#include "base/time.h"
#include "control/portal/api_url.h"
#include "control/portal/messages.h"
#include "control/portal/proxy.h"

namespace fg::portal {

enum class Generation : std::uint8_t { a, b, c };

inline constexpr std::string_view kReportedVersion =
    "1.6.1";  // spec portal 3.4: clients 1.5 accept 1.4 to 1.6
inline constexpr std::string_view kReportedVersionA =
    "1.3.0";  // spec portal 3.4: clients 1.2 accept 1.1 to 1.3
inline constexpr std::size_t kRefusalTextMax = 300;

struct SystemFacts {
  std::string os;       // "Debian GNU/Linux"
  std::string version;  // "12"
  std::string arch;     // "x86_64"
  std::string kernel;   // "6.1.0-18-amd64"
};

struct LoginOptions {
  ApiUrl url;
  std::optional<Proxy> proxy;
  SecretText token;
  std::string id;
  std::string name;
  PublicKey public_key{};
  SystemFacts system;
  std::optional<Generation> generation;         // none: discover
  std::optional<std::string> reported_version;  // none: by generation
};

// What the originals send for the device id: hex SHA-256 always (A), for UUIDs only (B, C).
[[nodiscard]] std::string external_id(std::string_view id, Generation generation);
[[nodiscard]] std::string user_agent(const SystemFacts& system, std::string_view version);

struct UpgradeRequest {
  bool is_tls = true;
  std::string host;  // to resolve, for SNI and for verification
  std::uint16_t port = 443;
  std::string host_header;
  SecretText target;  // path and query; holds the token for A portals
  std::string user_agent;
  std::optional<SecretText> authorization;  // value of X-Authorization
  std::optional<Proxy> proxy;               // dialled in the host's place
};

struct UpgradeRefusal {
  int status = 0;
  std::string content_type;
  std::optional<std::string> retry_after;
  std::string body;
};

struct Verdict {
  enum class Kind : std::uint8_t {
    retry,        // after a back-off
    retry_other,  // at once: the next request asks in another generation's way
    fatal,
  };
  Kind kind = Kind::retry;
  std::optional<Duration> retry_after;
  std::string reason;
};

class Login {
 public:
  explicit Login(LoginOptions options);

  [[nodiscard]] UpgradeRequest request() const;
  Verdict on_refused(const UpgradeRefusal& refusal, WallTime now);

  [[nodiscard]] Generation generation() const { return generation_; }
  // The portal may be another one by the next connection: what was learnt of it is not assumed.
  void forget() { generation_ = options_.generation.value_or(Generation::c); }
  [[nodiscard]] bool announces_capabilities() const { return generation_ == Generation::c; }

 private:
  // The generation whose way to try instead, if the refusal says that this one is not the portal's.
  [[nodiscard]] std::optional<Generation> other_way(const UpgradeRefusal& refusal) const;
  [[nodiscard]] std::string why_unauthorized(const UpgradeRefusal& refusal) const;

  LoginOptions options_;
  Generation generation_ = Generation::c;
};

}  // namespace fg::portal
