#include "io/model_directory.h"

#include <gtest/gtest.h>

namespace lowkey {
namespace {

TEST(ModelDirectory, IsTheNameUnlessItIsTheBuiltInModels) {
    EXPECT_EQ(model_directory("/some/where"), "/some/where");
    EXPECT_EQ(model_directory("no-such-model"), "no-such-model") << "whoever opens it says so";
    EXPECT_EQ(model_directory(""), "");
}

TEST(ModelDirectory, FindsTheBuiltInModelInTheSourcesWithoutAnInstallation) {
    EXPECT_EQ(model_directory("small"), LOWKEY_SMALL_MODEL);
}

}  // namespace
}  // namespace lowkey
