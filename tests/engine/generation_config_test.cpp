#include "engine/generation_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/error.h"
#include "io/safetensors_checkpoint.h"
#include "tests/io/temporary_folder.h"
#include "tokenizer/tokenizer.h"

namespace lowkey {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class GenerationConfigFiles : public TemporaryFolder {
protected:
    GenerationConfigFiles() {
        std::filesystem::copy(std::string(LOWKEY_SMALL_MODEL) + "/model.safetensors",
                              path("model.safetensors"));
    }
    [[nodiscard]] GenerationConfig read(const std::string& generation, const std::string& config,
                                        const Tokenizer* tokenizer = nullptr) const {
        std::filesystem::remove(path("generation_config.json"));
        if (!generation.empty()) static_cast<void>(file("generation_config.json", generation));
        static_cast<void>(file("config.json", config));
        return read_generation_config(SafetensorsCheckpoint(path(".")), tokenizer);
    }
};

TEST_F(GenerationConfigFiles, TakesAnIdOrAList) {
    EXPECT_THAT(read(R"({"eos_token_id": 7})", "{}").eos_ids, ElementsAre(7));
    EXPECT_THAT(read(R"({"eos_token_id": [9, 7, 9]})", "{}").eos_ids, ElementsAre(7, 9));
    EXPECT_EQ(read(R"({"bos_token_id": 3})", "{}").bos_id, 3);
}

TEST_F(GenerationConfigFiles, GenerationConfigComesBeforeConfigBeforeTokenizer) {
    const char* config = R"({"eos_token_id": 5, "bos_token_id": 4})";
    const auto tokenizer = Tokenizer::load(LOWKEY_SMALL_MODEL);
    const GenerationConfig first = read(R"({"eos_token_id": 7})", config, tokenizer.get());
    EXPECT_THAT(first.eos_ids, ElementsAre(7));
    EXPECT_EQ(first.bos_id, 4);
    EXPECT_THAT(read("", config, tokenizer.get()).eos_ids, ElementsAre(5));
    EXPECT_THAT(read(R"({"eos_token_id": null})", config).eos_ids, ElementsAre(5));
    const GenerationConfig last = read("", "{}", tokenizer.get());
    EXPECT_THAT(last.eos_ids, ElementsAre(1));
    EXPECT_EQ(last.bos_id, 0);
}

TEST_F(GenerationConfigFiles, NoneIsNone) {
    EXPECT_THAT(read("", "{}").eos_ids, IsEmpty());
    EXPECT_FALSE(read("", "{}").bos_id.has_value());
}

TEST_F(GenerationConfigFiles, RefusesWhatIsNoTokenId) {
    for (const char* bad :
         {R"({"eos_token_id": -1})", R"({"eos_token_id": "</s>"})", R"({"eos_token_id": [1, 2.5]})",
          R"({"eos_token_id": 4294967296})", R"({"eos_token_id": {}})", "[", "[]"}) {
        EXPECT_THAT(message_of<FileError>([&] { static_cast<void>(read(bad, "{}")); }),
                    HasSubstr("generation_config.json"))
            << bad;
    }
}

}  // namespace
}  // namespace lowkey
