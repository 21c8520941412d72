#include "lowkey/model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lowkey/error.h"
#include "lowkey/runtime.h"
#include "model/model.h"
#include "tests/cli/program.h"
#include "tokenizer/tokenizer.h"

namespace lowkey {
namespace {

using ::testing::HasSubstr;

const std::string kTiny = std::string(LOWKEY_TEST_DATA) + "/models/llama-gqa-tied";

TEST(ApiModel, TellsWhatItIs) {
    const api::Model model = api::Model::load("small", {.max_context = 512});
    const api::ModelInfo& info = model.info();
    EXPECT_EQ(info.directory, LOWKEY_SMALL_MODEL);
    EXPECT_EQ(info.architecture, "LlamaForCausalLM");
    EXPECT_EQ(info.num_layers, 6);
    EXPECT_EQ(info.num_heads, 4);
    EXPECT_EQ(info.num_kv_heads, 4);
    EXPECT_EQ(info.head_dim, 64);
    EXPECT_EQ(info.hidden_size, 256);
    EXPECT_EQ(info.vocab_size, 4096);
    EXPECT_EQ(info.max_context, 512);
    EXPECT_EQ(info.kv_bytes_per_token, 2 * 6 * 4 * 64 * 2);
    EXPECT_EQ(info.eos_ids, std::vector<int32_t>{1});
    EXPECT_TRUE(info.sliding_windows.empty());
    EXPECT_EQ(info.fingerprint, Model::load(LOWKEY_SMALL_MODEL)->fingerprint());
}

TEST(ApiModel, TokenizesAsItsTokenizerDoes) {
    const api::Model model = api::Model::load("small");
    const auto tokenizer = Tokenizer::load(LOWKEY_SMALL_MODEL);
    const std::string text = "It's 1,024 naïve cafés — 漢字\n";
    EXPECT_EQ(model.tokenize(text), tokenizer->encode(text, true));
    const std::vector<int32_t> ids = model.tokenize(text, api::SpecialTokens::kWithout);
    EXPECT_EQ(ids, tokenizer->encode(text, false));
    EXPECT_EQ(model.detokenize(ids), text);
    EXPECT_EQ(model.detokenize(model.tokenize(text)), text);
    EXPECT_EQ(model.detokenize(model.tokenize(text), api::SpecialTokens::kWith),
              tokenizer->decode(tokenizer->encode(text, true), false));
}

TEST(ApiModel, WithoutTokenizerTakesNoText) {
    const api::Model model = api::Model::load(kTiny);
    EXPECT_FALSE(model.has_tokenizer());
    EXPECT_THAT(message_of<UnsupportedError>([&] { static_cast<void>(model.tokenize("a")); }),
                HasSubstr("llama-gqa-tied"));
    EXPECT_THROW(static_cast<void>(model.detokenize(std::vector<int32_t>{1})), UnsupportedError);
}

TEST(ApiModel, RefusesWhatIsNoModel) {
    EXPECT_THAT(message_of<FileError>([] { api::Model::load("/no/such/model"); }),
                HasSubstr("/no/such/model"));
    EXPECT_THROW(api::Model::load("small", {.max_context = -1}), UsageError);
    EXPECT_THROW(api::Model::load("small", {.max_context = int64_t{1} << 40}), UsageError);
    EXPECT_THROW(api::Model::load(""), FileError);
}

TEST(ApiRuntime, RefusesThreadsOutOfRange) {
    const int threads = api::num_threads();
    EXPECT_THROW(api::set_num_threads(0), UsageError);
    EXPECT_THROW(api::set_num_threads(5000), UsageError);
    EXPECT_EQ(api::num_threads(), threads);
    api::set_num_threads(1);
    EXPECT_EQ(api::num_threads(), 1);
    api::set_num_threads(threads);
}

}  // namespace
}  // namespace lowkey
