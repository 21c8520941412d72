#include "io/model_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "tests/io/temporary_folder.h"

namespace lowkey {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class ModelDirectory : public TemporaryFolder {
protected:
    template <typename E>
    [[nodiscard]] static std::string refusal(const std::string& model) {
        return message_of<E>([&] { static_cast<void>(model_directory(model)); });
    }
};

TEST_F(ModelDirectory, IsTheNameOfAFolder) { EXPECT_EQ(model_directory(path(".")), path(".")); }

TEST_F(ModelDirectory, FindsTheBuiltInModelInTheSourcesWithoutAnInstallation) {
    EXPECT_EQ(model_directory("small"), LOWKEY_SMALL_MODEL);
}

TEST_F(ModelDirectory, SaysWhatToDoWithOtherNames) {
    EXPECT_THAT(refusal<FileError>("Qwen/Qwen2.5-0.5B"),
                AllOf(HasSubstr("no such directory: Qwen/Qwen2.5-0.5B"),
                      HasSubstr("huggingface-cli download Qwen/Qwen2.5-0.5B --local-dir "
                                "Qwen2.5-0.5B")));
    for (const char* name : {"/some/where", "no-such-model", "../a", "a/b/c", "a/", ""}) {
        EXPECT_THAT(refusal<FileError>(name),
                    AllOf(HasSubstr("no such directory"), HasSubstr(name), HasSubstr("`small`")));
    }
    EXPECT_THAT(refusal<UnsupportedError>("some/model-q4.gguf"),
                AllOf(HasSubstr("GGUF"), HasSubstr("*.safetensors")));
    EXPECT_THAT(refusal<UnsupportedError>(file("model.gguf", "GGUF")), HasSubstr("GGUF"));
    EXPECT_THAT(refusal<FileError>(file("config.json", "{}")),
                AllOf(HasSubstr("is a file, not a directory"),
                      HasSubstr("perhaps " + path("config.json").substr(0, path("").size() - 1))));
}

}  // namespace
}  // namespace lowkey
