#include "gateway/portal_mend.h"

#include <gtest/gtest.h>

namespace fg::gateway {
namespace {

bool says(std::string_view reason, bool was_joined, std::string_view words) {
  return mend_of_portal(reason, was_joined, "machine id").find(words) != std::string::npos;
}

TEST(PortalMend, FollowsFromTheWordsOfTheEnd) {
  const std::string budget =
      "Got disconnected from portal and hit the max-retry limit. Last connection error: ";
  EXPECT_TRUE(says(budget + "Connection refused", false, "check FIREZONE_API_URL"));
  EXPECT_TRUE(says(budget + "HTTP status 409 (token in use)", true, "check FIREZONE_API_URL"));
  EXPECT_TRUE(says("Failed to login with portal: disabled", true, "check in the portal"));
  EXPECT_TRUE(says("Authentication token invalid", false, "set FIREZONE_TOKEN"));
  EXPECT_TRUE(says("Failed to authenticate with portal: no", false, "set FIREZONE_TOKEN"));
}

TEST(PortalMend, ADoubleIsThoughtOfOnceWeWereJoined) {
  EXPECT_FALSE(says("Authentication token invalid", false, "FIREZONE_ID"));
  EXPECT_TRUE(says("Authentication token invalid", true, "FIREZONE_ID"));
  EXPECT_TRUE(says("Authentication token invalid", true, "machine id"));
}

}  // namespace
}  // namespace fg::gateway
