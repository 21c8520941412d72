// Any file of calibration statistics is either refused with an Error, or planners can make bases of
// it. Since few mutations keep a safetensors header right, the first line of the input is also tried
// as the document in the metadata of a file that has all tensors, and what follows it as their data.

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "compress/bases.h"
#include "compress/calibration.h"
#include "fuzz/tiny_model.h"

namespace {

void read(std::string_view bytes) {
    static const lowkey::fuzz::MemoryFile file;
    file.fill(bytes);
    const lowkey::Model& model = *lowkey::fuzz::tiny_model();
    try {
        const lowkey::CalibrationStats stats = lowkey::read_stats(file.path(), model);
        LOWKEY_CHECK(stats.num_tokens() > 0 && !lowkey::stats_hash(stats).empty());
        for (const auto& layer : lowkey::head_grams(model, stats, true)) {
            for (const lowkey::HeadGrams& grams : layer) {
                for (const auto* kinds :
                     {&lowkey::key_basis_kinds(), &lowkey::value_basis_kinds()}) {
                    for (const lowkey::BasisKind& kind : *kinds)
                        LOWKEY_CHECK(kind.make(grams).encode.rows() == 8);
                }
            }
        }
    } catch (const lowkey::Error&) {
        // Refused, as most inputs must be.
    }
}

/// All tensors of statistics of the tiny model, as a header says it.
nlohmann::json tensors(size_t& end) {
    nlohmann::json all;
    const auto add = [&](const std::string& name, const char* dtype, std::vector<int64_t> shape) {
        size_t bytes = 8;
        for (const int64_t extent : shape) bytes *= static_cast<size_t>(extent);
        all[name] = {
            {"dtype", dtype}, {"shape", std::move(shape)}, {"data_offsets", {end, end + bytes}}};
        end += bytes;
    };
    add("input_ids", "I64", {1, 4});
    for (const std::string& kind : lowkey::gram_kinds(true)) {
        for (const char* which : {"first.", "rest."}) add(which + kind, "F64", {1, 1, 8, 8});
    }
    return all;
}

}  // namespace

// NOLINTNEXTLINE(readability-identifier-naming): libFuzzer calls it by this name
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const std::string_view input{reinterpret_cast<const char*>(data), size};
    read(input);
    const size_t line = input.find('\n');
    std::string document{input.substr(0, line)};
    // "model" stands for the fingerprint, which seeds cannot know.
    const std::string name = R"("model")";
    if (const size_t at = document.find(name); at != std::string::npos) {
        document.replace(at, name.size(), '"' + lowkey::fuzz::tiny_model()->fingerprint() + '"');
    }
    size_t end = 0;
    nlohmann::json header = tensors(end);
    header["__metadata__"]["lowkey.stats"] = document;
    const std::string text = header.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    std::string file;
    for (int i = 0; i < 8; ++i) file += static_cast<char>((text.size() >> (8 * i)) & 0xff);
    std::string values{line == std::string_view::npos ? "" : input.substr(line + 1)};
    values.resize(end);
    read(file + text + values);
    return 0;
}
