#pragma once

#include <memory>
#include <string>
#include <vector>

#include "compress/calibration.h"
#include "engine/engine.h"
#include "io/json_reader.h"
#include "io/safetensors.h"
#include "model/model.h"

namespace lowkey::test {

/// One folder of tests/data/methods.
struct Golden {
    explicit Golden(const std::string& name, const std::string& method = "eigen")
        : folder(std::string(LOWKEY_TEST_DATA) + "/methods/" + name),
          model(Model::load(folder, {DType::kF32, 0})),
          numbers(folder + "/" + method + ".safetensors"),
          about(read_json_file(folder + "/" + method + ".json")) {}

    [[nodiscard]] std::vector<std::vector<int32_t>> ids(const std::string& tensor) const {
        const TensorView& view = numbers.tensor(tensor);
        const int64_t length = view.shape.back();
        std::vector<std::vector<int32_t>> out;
        for (int64_t i = 0; i < view.size(); ++i) {
            if (i % length == 0) out.emplace_back();
            out.back().push_back(static_cast<int32_t>(view.as<int64_t>()[static_cast<size_t>(i)]));
        }
        return out;
    }
    [[nodiscard]] CalibrationStats calibrate() const {
        return lowkey::calibrate(*model, ids("calib.ids"));
    }

    std::string folder;
    std::shared_ptr<const Model> model;
    SafetensorsFile numbers;
    nlohmann::json about;
};

/// Logits [n, vocab_size] of a sequence: the first `prompt` tokens in one prefill, the rest one by
/// one.
inline std::vector<float> logits_of(Engine& engine, const std::vector<int32_t>& ids,
                                    int64_t prompt) {
    const int64_t vocab = engine.model().config().vocab_size;
    std::vector<float> out(ids.size() * static_cast<size_t>(vocab));
    const auto sequence = engine.new_sequence();
    engine.prefill(*sequence, std::span(ids).first(static_cast<size_t>(prompt)),
                   [&](int64_t first, const float* hidden, int64_t n) {
                       engine.model().logits(hidden, n, out.data() + first * vocab);
                   });
    for (size_t t = static_cast<size_t>(prompt); t < ids.size(); ++t) {
        const Tensor row = engine.decode(*sequence, ids[t]);
        std::copy(row.f32().begin(), row.f32().end(),
                  out.begin() + static_cast<std::ptrdiff_t>(t * static_cast<size_t>(vocab)));
    }
    return out;
}

inline const std::vector<std::string>& golden_names() {
    static const std::vector<std::string> names = {"llama-mha", "llama-gqa-tied", "qwen2", "opt",
                                                   "mpt",       "baichuan2-13b"};
    return names;
}

/// A test parameter's name without what GoogleTest does not take.
inline std::string test_name(std::string name) {
    for (char& c : name) {
        if (c == '-') c = '_';
    }
    return name;
}

}  // namespace lowkey::test
