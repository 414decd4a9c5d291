#include "control/stun/key.h"

#include <gtest/gtest.h>

#include "base/encoding.h"

namespace fg::stun {
namespace {

// spec connectivity 10.3
TEST(StunKey, LongTermKeyIsMd5OfUserRealmAndPassword) {
  const auto key = long_term_key("1685984278:uvdgKvS9GXYZ_vmv", "firezone",
                                 SecretText{"6xUIoZ+QvxKhRasLifwfRkMXl+ETLJUsFkHlXjlHAkg"});
  EXPECT_EQ(hex(key.expose()), "a1628ea75a65270505a90953534885c2");
}

// RFC 8489 §9.2.2 example: user, realm.org, pass
TEST(StunKey, LongTermKeyMatchesTheRfcExample) {
  EXPECT_EQ(hex(long_term_key("user", "realm", SecretText{"pass"}).expose()),
            "8493fbc53ba582fb4c044c456bdc40eb");
}

TEST(StunKey, ShortTermKeyIsThePasswordItself) {
  const SecretText password{"kvpwadif6734sdalah6lja"};
  EXPECT_EQ(as_text(short_term_key(password)), "kvpwadif6734sdalah6lja");
}

}  // namespace
}  // namespace fg::stun
