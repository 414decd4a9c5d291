// What a portal of each generation tells a gateway about its clients (spec portal 2.3), and how it
// recognises which generation asks.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/address.h"
#include "control/ice/credentials.h"
#include "control/portal/login.h"

namespace fg::swarm {

using Json = nlohmann::json;
using portal::Generation;

[[nodiscard]] std::string letter_of(Generation generation);
[[nodiscard]] std::optional<Generation> generation_of(std::string_view letter);

// Of an upgrade request: C has a path of its own, A alone gives its token in it (spec portal 1.2).
[[nodiscard]] Generation generation_of(std::string_view target, bool has_bearer_token);

// A client as its gateway is told of it. Gateways of A make their own ICE credentials.
struct Introduction {
  std::string id;
  std::string public_key;  // base64, as the next
  std::string preshared_key;
  IpAddress ipv4;
  IpAddress ipv6;
  ice::Credentials client;
  std::optional<ice::Credentials> gateway;
};
struct Grant {
  std::string client;
  std::string resource;
};
struct Message {
  std::string event;
  Json payload;
};

[[nodiscard]] Json relay_entry(const SocketAddress& address, const std::string& username,
                               const std::string& password);
// Generation A knows nothing of grants.
[[nodiscard]] Json init_payload(Generation generation, const Json& relays,
                                const std::vector<Grant>& grants);
// `client` may reach `resource`, for ever. The reference is the client's id.
[[nodiscard]] Message authorization(Generation generation, const Introduction& client,
                                    const Json& resource);

// What a gateway answers to it; A with the credentials it made. Nothing for other events.
struct Agreement {
  std::string reference;
  std::optional<ice::Credentials> gateway;
};
[[nodiscard]] std::optional<Agreement> agreement(const std::string& event, const Json& payload);

}  // namespace fg::swarm
