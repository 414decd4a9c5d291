#include "control/portal/proxy.h"

#include <gtest/gtest.h>

namespace fg::portal {
namespace {

Proxy parsed(std::string_view text) {
  auto proxy = parse_proxy(text);
  if (!proxy) {
    ADD_FAILURE() << text;
    return {};
  }
  return std::move(*proxy);
}

TEST(Proxy, SchemePortAndCredentialsMayBeLeftOut) {
  const std::tuple<const char*, const char*, std::uint16_t> rows[] = {
      {"http://proxy.test:3128", "proxy.test", 3128},
      {"HTTP://Proxy.Test:3128/", "proxy.test", 3128},
      {"proxy.test:3128", "proxy.test", 3128},
      {"http://proxy.test", "proxy.test", 80},
      {"http://10.1.1.1:8080", "10.1.1.1", 8080},
      {"http://[2001:db8::1]:8080", "2001:db8::1", 8080},
      {"http://[2001:db8::1]", "2001:db8::1", 80}};
  for (const auto& [text, host, port] : rows) {
    const auto proxy = parsed(text);
    EXPECT_EQ(proxy.host, host) << text;
    EXPECT_EQ(proxy.port, port) << text;
    EXPECT_FALSE(proxy.authorization) << text;
  }
}

TEST(Proxy, CredentialsBecomeBasicAuthorization) {
  // RFC 7617 §2
  EXPECT_EQ(parsed("http://Aladdin:open%20sesame@p.test").authorization->expose(),
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
  EXPECT_EQ(parsed("u%40corp:a%3Ab@p.test:1").authorization->expose(), "Basic dUBjb3JwOmE6Yg==");
  EXPECT_EQ(parsed("http://user@p.test").authorization->expose(), "Basic dXNlcjo=");
  EXPECT_EQ(parsed("http://u:p%2@p.test").authorization->expose(), "Basic dTpwJTI=");
  EXPECT_EQ(parsed("http://u:p@p.test").host, "p.test");
}

TEST(Proxy, OtherSchemesAndWhatIsNoUrlAreErrors) {
  for (const auto* text : {"https://p.test:1", "socks5://p.test:1", "://p.test"})
    EXPECT_EQ(parse_proxy(text).error(), ProxyError::wrong_scheme) << text;
  for (const auto* text : {"", "http://", "http://p.test:x", "http://p.test:65536",
                           "http://p.test:0", "http://u:p@", "[::1", "http://a b"})
    EXPECT_EQ(parse_proxy(text).error(), ProxyError::not_a_url) << text;
}

TEST(NoProxy, NamesTheirSubdomainsAddressesNetworksAndPorts) {
  const std::tuple<const char*, const char*, bool> rows[] = {
      {"", "wss://api.corp.test", false},
      {"*", "wss://api.corp.test", true},
      {"corp.test", "wss://api.corp.test", true},
      {".corp.test", "wss://api.corp.test", true},
      {"*.corp.test", "wss://api.corp.test", true},
      {".corp.test", "wss://corp.test", true},
      {"CORP.test", "wss://api.corp.test", true},
      {"orp.test", "wss://api.corp.test", false},
      {"api.corp.test.other", "wss://api.corp.test", false},
      {"a.test, corp.test", "wss://api.corp.test", true},
      {"a.test corp.test", "wss://api.corp.test", true},
      {"corp.test:443", "wss://api.corp.test", true},
      {"corp.test:8443", "wss://api.corp.test", false},
      {"corp.test:80", "ws://api.corp.test", true},
      {"10.0.0.0/8", "wss://10.1.2.3", true},
      {"10.1.2.3", "wss://10.1.2.3", true},
      {"10.1.2.3:443", "wss://10.1.2.3", true},
      {"10.0.0.0/8", "wss://11.1.2.3", false},
      {"10.0.0.0/8", "wss://ten.test", false},
      {"2001:db8::/32", "wss://[2001:db8::1]", true},
      {"2001:db8::1", "wss://[2001:db8::1]", true},
      {"[2001:db8::1]:443", "wss://[2001:db8::1]", true},
      {"[2001:db8::1]:1", "wss://[2001:db8::1]", false},
      {"0.0.0.0/0", "wss://[2001:db8::1]", false},
      {",, ,", "wss://api.corp.test", false},
      {".", "wss://api.corp.test", false},
      {"[", "wss://api.corp.test", false},
  };
  for (const auto& [no_proxy, url, direct] : rows)
    EXPECT_EQ(is_direct(no_proxy, *ApiUrl::parse(url)), direct) << no_proxy << " for " << url;
}

TEST(Proxy, AnAuthorityBracketsIpv6) {
  EXPECT_EQ(authority_of("portal.test", 443), "portal.test:443");
  EXPECT_EQ(authority_of("2001:db8::1", 8443), "[2001:db8::1]:8443");
}

}  // namespace
}  // namespace fg::portal
