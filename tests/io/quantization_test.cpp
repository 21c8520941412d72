#include "io/quantization.h"

#include <gtest/gtest.h>

#include <map>

#include "io/json_reader.h"

namespace lowkey {
namespace {

/// A config.json and the dtypes of tensors by name.
class NamesOnly final : public Checkpoint {
public:
    NamesOnly(const std::string& config, std::map<std::string, std::string> dtypes)
        : config_(parse_json(config, "m")), dtypes_(std::move(dtypes)) {}
    [[nodiscard]] const std::string& directory() const override { return name_; }
    [[nodiscard]] const nlohmann::json& config() const override { return config_; }
    [[nodiscard]] std::string config_path() const override { return "m/config.json"; }
    [[nodiscard]] bool contains(const std::string& name) const override {
        return dtypes_.contains(name);
    }
    [[nodiscard]] std::string stored_dtype(const std::string& name) const override {
        return dtypes_.at(name);
    }
    [[nodiscard]] std::vector<std::string> names() const override {
        std::vector<std::string> names;
        for (const auto& [name, dtype] : dtypes_) names.push_back(name);
        return names;
    }
    [[nodiscard]] TensorView tensor(const std::string& /*name*/,
                                    const Shape& /*shape*/) const override {
        return {};
    }
    [[nodiscard]] int64_t num_parameters() const override { return 0; }
    [[nodiscard]] const std::string& fingerprint() const override { return name_; }

private:
    std::string name_ = "m";
    nlohmann::json config_;
    std::map<std::string, std::string> dtypes_;
};

std::string of_config(const std::string& config) { return quantization_of(NamesOnly(config, {})); }
std::string of_tensor(const std::string& name, const std::string& dtype) {
    return quantization_of(NamesOnly("{}", {{"a.q_proj." + name, dtype}, {"z.weight", "BF16"}}));
}

TEST(Quantization, IsNamedAsConfigJsonSays) {
    EXPECT_EQ(of_config("{}"), "");
    EXPECT_EQ(of_config(R"({"quantization_config": null})"), "");
    EXPECT_EQ(of_config(R"({"quantization_config": {"quant_method": "gptq", "bits": 4}})"),
              "GPTQ, 4 bits");
    EXPECT_EQ(of_config(R"({"quantization_config": {"quant_method": "awq", "w_bit": 4}})"),
              "AWQ, 4 bits");
    EXPECT_EQ(of_config(R"({"quantization_config": {"quant_method": "bitsandbytes",
                            "load_in_4bit": true, "bnb_4bit_quant_type": "nf4"}})"),
              "bitsandbytes, 4 bits, nf4");
    EXPECT_EQ(of_config(R"({"quantization_config": {"quant_method": "fp8"}})"), "FP8");
    EXPECT_EQ(of_config(R"({"quantization_config": {"quant_method": "vptq"}})"), "vptq");
    EXPECT_EQ(of_config(R"({"quantization": {"group_size": 64, "bits": 4}})"), "MLX, 4 bits");
    for (const char* odd : {"[]", "3", "\"x\"", R"({"quantization_config": 3})"}) {
        EXPECT_EQ(of_config(odd), "") << odd;
    }
    EXPECT_NE(of_config(R"({"quantization_config": {"quant_method": 3, "bits": "x"}})"), "");
}

TEST(Quantization, IsNamedAsTensorsSay) {
    EXPECT_EQ(of_tensor("weight", "BF16"), "");
    EXPECT_EQ(of_tensor("weight", "F8_E4M3"), "FP8");
    EXPECT_EQ(of_tensor("weight_scale_inv", "F32"), "FP8");
    EXPECT_EQ(of_tensor("qweight", "I32"), "GPTQ or AWQ");
    EXPECT_EQ(of_tensor("g_idx", "I32"), "GPTQ");
    EXPECT_EQ(of_tensor("weight.quant_state.bitsandbytes__nf4", "U8"), "bitsandbytes NF4");
    EXPECT_EQ(of_tensor("SCB", "F32"), "bitsandbytes INT8");
    EXPECT_EQ(of_tensor("weight_packed", "I32"), "compressed-tensors");
}

}  // namespace
}  // namespace lowkey
