#include "control/flow_log/upload_url.h"

#include <gtest/gtest.h>

namespace fg::flow_log {
namespace {

TEST(UploadUrl, TheEndpointIsAbsoluteWhateverThePathOfTheApi) {
  for (const auto* url :
       {"https://flows.example", "https://flows.example/", "HTTPS://Flows.Example:443/v1?x=1"})
    EXPECT_EQ(UploadUrl::of_api(url), (UploadUrl{"flows.example", "/ingestion/flow_logs"})) << url;
  EXPECT_EQ(UploadUrl::of_api("https://[2001:db8::1]/")->host, "2001:db8::1");
}

TEST(UploadUrl, OnlyHttpsOnPort443WithoutCredentials) {
  for (const auto* url :
       {"http://flows.example/", "wss://flows.example/", "https://flows.example:8443/",
        "https://user@flows.example/", "https://a:b@flows.example/", "flows.example", "https://",
        "", "https://flows.example/ x", "https://flows.example/\r\nX: y", "file:///etc/passwd"}) {
    EXPECT_FALSE(UploadUrl::of_api(url)) << url;
  }
}

TEST(UploadUrl, ARedirectIsReadAsRelativeToWhatWasAsked) {
  const UploadUrl asked{"flows.example", "/ingestion/flow_logs"};
  EXPECT_EQ(asked.redirected("https://eu.example/x?y=1#z"), (UploadUrl{"eu.example", "/x?y=1"}));
  EXPECT_EQ(asked.redirected("//eu.example/x"), (UploadUrl{"eu.example", "/x"}));
  EXPECT_EQ(asked.redirected("/v2/flow_logs"), (UploadUrl{"flows.example", "/v2/flow_logs"}));
  EXPECT_EQ(asked.redirected("v2"), (UploadUrl{"flows.example", "/ingestion/v2"}));
}

TEST(UploadUrl, ARedirectElsewhereThanHttpsIsNotFollowed) {
  const UploadUrl asked{"flows.example", "/ingestion/flow_logs"};
  for (const auto* location : {"http://flows.example/", "https://flows.example:444/", "", "ftp:x",
                               "https://u:p@flows.example/", "/x\r\nHost: y"}) {
    EXPECT_FALSE(asked.redirected(location)) << location;
  }
}

}  // namespace
}  // namespace fg::flow_log
