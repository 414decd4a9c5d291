#include "tests/support/client/login.h"

#include "base/encoding.h"

namespace fg::client {

// The originals of the recordings.
std::string version_of(Generation generation) {
  switch (generation) {
    case Generation::a:
      return "1.2.1";
    case Generation::b:
      return "1.5.9";
    case Generation::c:
      return "1.5.12";
  }
  return "";
}

portal::UpgradeRequest upgrade_request(const LoginOptions& options, const PublicKey& public_key) {
  const bool is_a = options.generation == Generation::a;
  const auto& url = options.url;
  portal::UpgradeRequest out;
  out.is_tls = url.is_tls;
  out.host = url.host;
  out.port = url.port;
  out.host_header = url.host.find(':') == std::string::npos ? url.host : "[" + url.host + "]";
  // spec portal 1.3: only A names a port
  if (is_a && url.port != (url.is_tls ? 443 : 80))
    out.host_header += ":" + std::to_string(url.port);

  const auto key = portal::form_encode(base64(public_key));
  const auto id = portal::form_encode(portal::external_id(options.id, options.generation));
  const auto name = portal::form_encode(options.name);
  const auto& token = options.token.expose();
  std::string target = url.path + (options.generation == Generation::c ? "/client/v2/websocket"
                                                                       : "/client/websocket");
  if (is_a) {
    target += "?token=" + portal::form_encode(token) + "&public_key=" + key + "&external_id=" + id +
              "&name=" + name;
  } else {
    target += "?external_id=" + id + "&name=" + name + "&public_key=" + key;
    out.authorization = SecretText{"Bearer " + token};
  }
  out.target = SecretText{std::move(target)};
  const auto version = options.version.empty() ? version_of(options.generation) : options.version;
  out.user_agent = options.system.os + "/" + options.system.version +
                   (is_a ? " connlib/" : " headless-client/") + version + " (" +
                   options.system.arch + "; " + options.system.kernel + ")";
  return out;
}

bool is_fatal(Generation generation, int status) {
  return status == 401 || (generation == Generation::a && status >= 400 && status < 500);
}

}  // namespace fg::client
