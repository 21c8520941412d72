// What a checkpoint's files may and may not hold, whatever config.json says.
#include "model/weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/error.h"
#include "io/fingerprint.h"
#include "io/json_reader.h"
#include "tests/io/temporary_folder.h"
#include "tests/model/golden.h"

namespace lowkey {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

/// A golden checkpoint whose files a test may change.
class WeightFiles : public TemporaryFolder {
protected:
    void open(const std::string& golden) {
        golden_ = std::make_unique<Golden>(golden);
        const std::string from = std::string(LOWKEY_TEST_DATA) + "/models/" + golden;
        config = read_json_file(from + "/config.json");
        tensors.clear();
        const SafetensorsFile file(from + "/model.safetensors");
        for (const auto& [name, view] : file.tensors()) tensors.emplace(name, copy(view));
    }
    static Tensor copy(const TensorView& view) {
        Tensor own(view.dtype, view.shape);
        std::copy_n(view.data, view.bytes(), own.data());
        return own;
    }
    void rename(const std::string& from, const std::string& to) {
        auto node = tensors.extract(from);
        ASSERT_FALSE(node.empty()) << from;
        node.key() = to;
        tensors.insert(std::move(node));
    }
    std::string save() const {
        (void)file("m/config.json", config.dump());
        std::map<std::string, TensorView> views;
        for (const auto& [name, tensor] : tensors) views.emplace(name, tensor.view());
        write_safetensors(path("m/model.safetensors"), views);
        return path("m");
    }
    std::shared_ptr<const Model> load(DType dtype = DType::kF32) const {
        return Model::load(save(), {.dtype = dtype, .max_context = 64});
    }
    /// The largest difference to what the golden checkpoint computes.
    double difference_of(const std::shared_ptr<const Model>& model) const {
        Engine engine = dense_engine(model);
        const auto ids = golden_->ids("input_ids");
        return difference(all_logits(engine, ids, ids.size()), golden_->f32("logits")).max;
    }
    void set(const std::string& name, int64_t at, float value) {
        tensors.at(name).f32()[static_cast<size_t>(at)] = value;
    }

    json config;
    std::map<std::string, Tensor> tensors;
    std::unique_ptr<Golden> golden_;
};

constexpr double kTolerance = 1e-4;
constexpr char kUp[] = "model.layers.1.mlp.up_proj.weight";
constexpr char kEmbedding[] = "model.embed_tokens.weight";

TEST_F(WeightFiles, NamesMayLackTheBeginningOfTheModel) {
    for (const auto& [golden, prefix] :
         {std::pair("llama-mha", "model."), std::pair("qwen2", "model."),
          std::pair("opt", "model."), std::pair("opt", "model.decoder."),
          std::pair("mpt", "transformer."), std::pair("gemma3-with-vision", "language_model."),
          std::pair("gemma3-with-vision", "language_model.model.")}) {
        open(golden);
        std::vector<std::string> names;
        for (const auto& [name, tensor] : tensors) {
            if (name.starts_with(prefix)) names.push_back(name);
        }
        ASSERT_FALSE(names.empty()) << golden;
        for (const std::string& name : names) rename(name, name.substr(std::string(prefix).size()));
        const auto model = load();
        EXPECT_LE(difference_of(model), kTolerance) << golden << " without " << prefix;
        EXPECT_THAT(model->warnings(), IsEmpty());
    }
}

TEST_F(WeightFiles, OneOfEmbeddingAndHeadIsEnoughWhereTheyAreOne) {
    for (const auto& [golden, embedding] :
         {std::pair("llama-gqa-tied", kEmbedding), std::pair("gemma2", kEmbedding),
          std::pair("opt", "model.decoder.embed_tokens.weight"),
          std::pair("mpt", "transformer.wte.weight")}) {
        open(golden);
        ASSERT_FALSE(tensors.contains("lm_head.weight")) << golden;
        rename(embedding, "lm_head.weight");
        const auto model = load();
        EXPECT_LE(difference_of(model), kTolerance) << golden;
        EXPECT_THAT(model->warnings(), IsEmpty());

        tensors.emplace(embedding, copy(tensors.at("lm_head.weight").view()));
        const auto both = load();
        EXPECT_LE(difference_of(both), kTolerance) << golden;
        EXPECT_THAT(both->warnings(), IsEmpty()) << "the same bytes twice";
    }
    open("llama-mha");
    tensors.erase("lm_head.weight");
    EXPECT_THAT(message_of<FileError>([&] { load(); }), HasSubstr("'lm_head.weight'"));
    open("llama-mha");
    tensors.erase(kEmbedding);
    EXPECT_THAT(message_of<FileError>([&] { load(); }), HasSubstr(kEmbedding));
}

TEST_F(WeightFiles, AHeadThatDiffersIsUsedThoughConfigSaysItIsTheEmbedding) {
    open("llama-mha");
    config["tie_word_embeddings"] = true;  // and there are two
    const auto model = load();
    EXPECT_LE(difference_of(model), kTolerance);
    EXPECT_THAT(model->warnings(), ElementsAre(HasSubstr("'lm_head.weight' differs")));
}

TEST_F(WeightFiles, TensorsThatNobodyReadsAreNamedAndCounted) {
    open("llama-mha");
    EXPECT_THAT(load()->warnings(), IsEmpty());
    const Tensor bias = Tensor::zeros(DType::kF32, {64});
    for (const char* layer : {"0", "1"}) {
        tensors.emplace("model.layers." + std::string(layer) + ".self_attn.q_proj.bias",
                        copy(bias.view()));
        // Which follows from config.json.
        tensors.emplace("model.layers." + std::string(layer) + ".self_attn.rotary_emb.inv_freq",
                        copy(bias.view()));
    }
    tensors.emplace("model.layers.0.mlp.up_proj.lora_A.weight", copy(bias.view()));
    const auto model = load();
    EXPECT_THAT(model->warnings(),
                ElementsAre(StartsWith("3 of the checkpoint's tensors are not used")));
    EXPECT_THAT(model->warnings().front(), HasSubstr("model.layers.{}.self_attn.q_proj.bias (2)"));
    EXPECT_THAT(model->warnings().front(), HasSubstr("lora_A"));
    EXPECT_LE(difference_of(model), kTolerance);

    open("gemma3-with-vision");
    tensors.emplace("vision_tower.encoder.weight", copy(bias.view()));
    EXPECT_THAT(load()->warnings(), IsEmpty()) << "of a part that is known not to be used";
}

TEST_F(WeightFiles, QuantizedWeightsAreRefusedByTheMethodsName) {
    const auto refusal = [&] { return message_of<UnsupportedError>([&] { load(); }); };
    open("llama-mha");
    tensors.erase(kUp);
    const Tensor packed = Tensor::zeros(DType::kI32, {8, 96});
    tensors.emplace("model.layers.1.mlp.up_proj.qweight", copy(packed.view()));
    EXPECT_THAT(refusal(), HasSubstr("quantized (GPTQ or AWQ)"));
    config["quantization_config"] = {{"quant_method", "awq"}, {"bits", 4}};
    EXPECT_THAT(refusal(), HasSubstr("quantized (AWQ, 4 bits)"));
    EXPECT_THAT(refusal(), HasSubstr(kUp));

    open("llama-mha");
    const Shape shape = tensors.at(kUp).shape();
    tensors.erase(kUp);
    tensors.emplace(kUp, Tensor::zeros(DType::kI8, shape));
    tensors.emplace("model.layers.1.mlp.up_proj.SCB", Tensor::zeros(DType::kF32, {shape[0]}));
    EXPECT_THAT(refusal(), HasSubstr("bitsandbytes INT8"));

    // Merged adapters leave the key behind.
    open("llama-mha");
    config["quantization_config"] = {{"quant_method", "bitsandbytes"}, {"load_in_4bit", true}};
    const auto model = load();
    EXPECT_LE(difference_of(model), kTolerance);
    EXPECT_THAT(model->warnings(), ElementsAre(HasSubstr("unquantized")));
}

TEST_F(WeightFiles, NumbersThatAreNotFiniteAreRefusedWhereTheyStand) {
    constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    for (const DType dtype : {DType::kF32, DType::kBF16}) {
        for (const auto& [name, bad] :
             {std::pair(kUp, kNan), std::pair(kEmbedding, -kInfinity),
              std::pair("lm_head.weight", kNan), std::pair("model.norm.weight", kInfinity),
              std::pair("model.layers.0.input_layernorm.weight", kNan)}) {
            open("llama-mha");
            const int64_t last = tensors.at(name).size() - 1;
            for (const int64_t at : {int64_t{0}, last / 2, last}) {
                open("llama-mha");
                set(name, at, bad);
                if (at == 0) set(name, last, bad);
                const std::string message = message_of<FileError>([&] { load(dtype); });
                EXPECT_THAT(message, HasSubstr(std::string("'") + name + "' is not finite at ["));
                if (at == 0) {
                    EXPECT_THAT(message, HasSubstr(" at [0")) << "the first is named";
                }
            }
        }
    }
    open("llama-mha");
    set(kUp, 5, 3.4e38f);  // beyond bf16's largest number by half a step
    EXPECT_THAT(message_of<FileError>([&] { load(DType::kBF16); }), HasSubstr("not finite"));
    EXPECT_NO_THROW(load(DType::kF32));
    for (const DType stored : {DType::kF16, DType::kBF16}) {
        open(stored == DType::kF16 ? "llama-f16" : "llama-bf16");
        tensors.at(kUp).as<uint16_t>()[3] = stored == DType::kF16 ? 0xfc00 : 0xff80;
        EXPECT_THAT(message_of<FileError>([&] { load(); }), HasSubstr("[0, 3]"));
    }
}

TEST_F(WeightFiles, EveryByteIsInTheFingerprint) {
    open("llama-mha");
    const std::string whole = load()->fingerprint();
    EXPECT_EQ(load(DType::kBF16)->fingerprint(), whole) << "whatever it is converted to";
    EXPECT_TRUE(same_checkpoint(whole, load()->weights().checkpoint->fingerprint()));
    int64_t sampled = 0;
    for (int64_t changed = 0; changed < 40; ++changed) {
        open("llama-mha");
        Tensor& tensor = tensors.at(changed % 2 == 0 ? kUp : kEmbedding);
        auto& byte = tensor.data()[(tensor.bytes() / 41) * changed];
        byte ^= std::byte{1};
        const auto model = load();
        EXPECT_FALSE(same_checkpoint(model->fingerprint(), whole)) << changed;
        sampled += same_checkpoint(model->weights().checkpoint->fingerprint(), whole) ? 0 : 1;
    }
    EXPECT_LT(sampled, 10) << "the test should see what a sample does not";
}

}  // namespace
}  // namespace lowkey
