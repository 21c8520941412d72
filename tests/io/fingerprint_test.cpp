#include "io/fingerprint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lowkey {
namespace {

using ::testing::HasSubstr;

TEST(Fingerprint, AgreesWithWhatOlderFilesSay) {
    const std::string whole = whole_fingerprint("aa", "11");
    EXPECT_TRUE(same_checkpoint(whole, whole));
    EXPECT_TRUE(same_checkpoint("aa", whole)) << "made before all bytes were hashed";
    EXPECT_TRUE(same_checkpoint(whole, "aa"));
    EXPECT_TRUE(same_checkpoint("aa", "aa"));
    EXPECT_TRUE(same_checkpoint(whole, "aa.2.99")) << "hashed in a way not known here";
    EXPECT_FALSE(same_checkpoint("ab", whole));
    EXPECT_FALSE(same_checkpoint("", whole));
    EXPECT_FALSE(same_checkpoint(whole_fingerprint("ab", "11"), whole));
}

TEST(Fingerprint, OtherBytesAreAnotherCheckpoint) {
    const std::string whole = whole_fingerprint("aa", "11");
    const std::string damaged = whole_fingerprint("aa", "12");
    EXPECT_FALSE(same_checkpoint(damaged, whole));
    EXPECT_THAT(describe_difference(damaged, whole), HasSubstr("damaged"));
    EXPECT_THAT(describe_difference("bb", whole), HasSubstr("is for the checkpoint bb"));
}

}  // namespace
}  // namespace lowkey
