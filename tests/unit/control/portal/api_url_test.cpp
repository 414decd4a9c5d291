#include "control/portal/api_url.h"

#include <gtest/gtest.h>

namespace fg::portal {
namespace {

struct Row {
  const char* text;
  bool is_tls;
  const char* host;
  std::uint16_t port;
  const char* path;
};

TEST(ApiUrl, ReadsSchemeHostPortAndPathPrefix) {
  const Row rows[] = {
      {"wss://api.firezone.dev", true, "api.firezone.dev", 443, ""},
      {"wss://API.Example/", true, "api.example", 443, ""},
      {"https://portal.test:8443", true, "portal.test", 8443, ""},
      {"http://10.0.0.1", false, "10.0.0.1", 80, ""},
      {"ws://host:80/api", false, "host", 80, "/api"},
      {"ws://host/api/", false, "host", 80, "/api"},
      {"ws://host/api//", false, "host", 80, "/api/"},
      {"wss://user:pa%40ss@host:1/p?x=1#frag", true, "host", 1, "/p"},
      {"wss://host?x=1", true, "host", 443, ""},
      {"ws://[2001:DB8::1]:8081/a b", false, "2001:db8::1", 8081, "/a%20b"},
      {"wss://[::1]", true, "::1", 443, ""},
      {"  ws://host:  ", false, "host", 80, ""},
  };
  for (const auto& row : rows) {
    const auto url = ApiUrl::parse(row.text);
    ASSERT_TRUE(url) << row.text;
    EXPECT_EQ(url->is_tls, row.is_tls) << row.text;
    EXPECT_EQ(url->host, row.host) << row.text;
    EXPECT_EQ(url->port, row.port) << row.text;
    EXPECT_EQ(url->path, row.path) << row.text;
  }
}

TEST(ApiUrl, OtherSchemesAreAnErrorOfTheirOwn) {
  for (const auto* text : {"ftp://host", "file:///x", "wsss://host"}) {
    const auto url = ApiUrl::parse(text);
    ASSERT_FALSE(url) << text;
    EXPECT_EQ(url.error(), UrlError::wrong_scheme) << text;
  }
}

TEST(ApiUrl, WhatIsNoUrlIsRefused) {
  for (const auto* text :
       {"", "host", "://host", "ws://", "ws:///path", "ws://ho st", "ws://host:65536",
        "ws://host:1x", "ws://[::1", "ws://[1.2.3.4]", "ws://[::1]x", "ws://höst"}) {
    const auto url = ApiUrl::parse(text);
    ASSERT_FALSE(url) << text;
    EXPECT_EQ(url.error(), UrlError::not_a_url) << text;
  }
}

TEST(FormEncode, EncodesAsHtmlFormsDo) {
  EXPECT_EQ(form_encode("M6jq1REt2rfnR5vUYLlRrjNItdB/ttSeqXqOBSqkEb0="),
            "M6jq1REt2rfnR5vUYLlRrjNItdB%2FttSeqXqOBSqkEb0%3D");
  EXPECT_EQ(form_encode("edge one+ü*-._~"), "edge+one%2B%C3%BC*-._%7E");
}

}  // namespace
}  // namespace fg::portal
