#include "base/size.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace lowkey {
namespace {

TEST(Size, ParsesBinaryAndDecimalUnits) {
    EXPECT_EQ(parse_bytes("0"), 0);
    EXPECT_EQ(parse_bytes("1048576"), 1048576);
    EXPECT_EQ(parse_bytes("512MiB"), 512LL << 20);
    EXPECT_EQ(parse_bytes("512 MiB"), 512LL << 20);
    EXPECT_EQ(parse_bytes("2GB"), 2000000000);
    EXPECT_EQ(parse_bytes("64k"), 64000);
    EXPECT_EQ(parse_bytes("1.5KiB"), 1536);
}

TEST(Size, RefusesWhatIsNoSize) {
    for (const char* text :
         {"", "MiB", "-1", "-4KiB", "5 apples", "1e30", "nan", "inf", "3xB", "0.4x"}) {
        EXPECT_THROW(parse_bytes(text), UsageError) << text;
    }
}

TEST(Size, FormatsForPeople) {
    EXPECT_EQ(format_bytes(0), "0 B");
    EXPECT_EQ(format_bytes(1536), "1.50 KiB");
    EXPECT_EQ(format_bytes(100LL << 20), "100 MiB");
    EXPECT_EQ(format_seconds(3.44), "3.4 s");
    EXPECT_EQ(format_seconds(125), "2m 05s");
}

}  // namespace
}  // namespace lowkey
