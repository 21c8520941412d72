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
    EXPECT_THAT(first.eos_ids, ElementsAre(1, 7)) << "the tokenizer's ends it, too";
    EXPECT_EQ(first.bos_id, 4);
    EXPECT_THAT(read("", config, tokenizer.get()).eos_ids, ElementsAre(1, 5));
    EXPECT_THAT(read(R"({"eos_token_id": null})", config).eos_ids, ElementsAre(5));
    const GenerationConfig last = read("", "{}", tokenizer.get());
    EXPECT_THAT(last.eos_ids, ElementsAre(1));
    EXPECT_EQ(last.bos_id, 0);
}

TEST_F(GenerationConfigFiles, SamplesAsTransformersDoes) {
    const auto of = [&](const std::string& generation) {
        return describe(read(generation, R"({"do_sample": true, "temperature": 3})").sampling);
    };
    EXPECT_EQ(of("{}"), "greedy") << "config.json has no say beside the file";
    EXPECT_EQ(of(R"({"temperature": 0.6, "top_p": 0.9})"), "greedy");
    EXPECT_EQ(of(R"({"do_sample": true})"), "temperature 1, top-k 50");
    EXPECT_EQ(of(R"({"do_sample": true, "temperature": null, "top_k": 0})"), "temperature 1");
    EXPECT_EQ(of(R"({"do_sample": true, "temperature": 0.7, "top_k": 20, "top_p": 0.8,
                     "min_p": 0.05, "repetition_penalty": 1.05})"),
              "temperature 0.7, top-k 20, top-p 0.8, min-p 0.05, repeat-penalty 1.05");
    EXPECT_EQ(of(R"({"repetition_penalty": 1.1})"), "greedy, repeat-penalty 1.1");
    EXPECT_EQ(of(""), "temperature 3, top-k 50") << "an old model, with config.json alone";
}

TEST_F(GenerationConfigFiles, WhatIsAskedWins) {
    const GenerationConfig config =
        read(R"({"do_sample": true, "temperature": 0.7, "top_k": 20, "top_p": 0.8,
                 "repetition_penalty": 1.05, "eos_token_id": [7, 9]})",
             "{}");
    const auto asked = [&](const SamplingOverrides& overrides) {
        return describe(config.options(overrides).sampling);
    };
    EXPECT_EQ(asked({}), "temperature 0.7, top-k 20, top-p 0.8, repeat-penalty 1.05");
    EXPECT_EQ(asked({.temperature = 0}), "greedy, repeat-penalty 1.05");
    EXPECT_EQ(asked({.temperature = 1, .top_k = 0, .top_p = 1, .min_p = 0.1, .repeat_penalty = 1}),
              "temperature 1, min-p 0.1");
    EXPECT_EQ(config.options({.seed = 5}).sampling.seed, 5);
    EXPECT_THAT(config.options({}).eos_ids, ElementsAre(7, 9));
    // Filters that a greedy model names hold once there is a temperature.
    const GenerationConfig greedy = read(R"({"top_p": 0.9})", "{}");
    EXPECT_EQ(describe(greedy.options({.temperature = 0.5}).sampling),
              "temperature 0.5, top-p 0.9");
}

TEST_F(GenerationConfigFiles, RefusesSettingsOutOfRange) {
    for (const char* bad :
         {R"({"temperature": -1})", R"({"temperature": "hot"})", R"({"top_k": -2})",
          R"({"top_k": 1.5})", R"({"top_p": 1.5})", R"({"min_p": -0.1})",
          R"({"repetition_penalty": 0})", R"({"do_sample": 1})"}) {
        EXPECT_THAT(message_of<FileError>([&] { static_cast<void>(read(bad, "{}")); }),
                    HasSubstr("generation_config.json"))
            << bad;
    }
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
