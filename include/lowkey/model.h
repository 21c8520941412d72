#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lowkey/export.h"
#include "lowkey/generation.h"

namespace lowkey::api {

/// The numbers in which weights, the uncompressed cache and low-rank coordinates are held. Sums are
/// made in f32 either way.
enum class Precision { kBF16, kF32 };

/// How to load a model.
struct ModelOptions {
    Precision dtype = Precision::kBF16;
    /// Tokens of the longest sequence that will be run; 0: what the checkpoint allows. Sessions
    /// without a budget reserve addresses (not memory) for so many.
    int64_t max_context = 0;
};

/// What a model is. Names are those of config.json.
struct ModelInfo {
    std::string directory;
    std::string architecture;  ///< "LlamaForCausalLM"
    std::string fingerprint;   ///< tells the checkpoint from all others, by every byte
    int64_t num_layers = 0;
    int64_t num_heads = 0;     ///< query heads
    int64_t num_kv_heads = 0;  ///< each serves num_heads / num_kv_heads query heads
    int64_t head_dim = 0;
    int64_t hidden_size = 0;
    int64_t vocab_size = 0;
    int64_t parameters = 0;
    int64_t max_context = 0;         ///< tokens, as loaded
    int64_t kv_bytes_per_token = 0;  ///< uncompressed, in bf16
    /// [num_layers]: the layer's own sliding window in tokens, 0 where it sees all of them; empty
    /// where no layer has one.
    std::vector<int64_t> sliding_windows;
    std::vector<std::string> warnings;  ///< about the files, a sentence each; none as a rule
    /// Tokens that end a generation, the model's and the tokenizer's; sorted, may be empty.
    std::vector<int32_t> eos_ids;
    SamplingOptions sampling;  ///< how it generates where a caller asks for nothing else
};

/// What tokenize() does about the tokens that the model expects around a prompt (bos, …), and
/// detokenize() about tokens that are no text.
enum class SpecialTokens { kWith, kWithout };

/// A decoder-only language model with its tokenizer. Immutable and thread-safe; a copy is another
/// handle to the same weights, which live as long as
/// a handle or a Session does.
class LOWKEY_API Model {
public:
    /// Loads a Hugging Face directory (config.json, *.safetensors, tokenizer.json or
    /// tokenizer.model), or the built-in model that comes with lowkey: "small". Weights are mapped
    /// where they need no conversion. Throws FileError for what is missing, malformed or
    /// contradictory, UnsupportedError for a family or feature that lowkey does not know,
    /// UsageError for options out of range.
    static Model load(const std::string& model, const ModelOptions& options = {});

    /// Its sizes and where it comes from. Valid as long as this handle or a copy.
    [[nodiscard]] const ModelInfo& info() const;

    /// Whether the directory has a tokenizer. Without one a model takes and gives token ids.
    [[nodiscard]] bool has_tokenizer() const;
    /// Token ids of UTF-8 text; invalid bytes are taken as U+FFFD. Special tokens that are written
    /// out in the text are parsed. Throws UnsupportedError without a tokenizer.
    [[nodiscard]] std::vector<int32_t> tokenize(std::string_view text,
                                                SpecialTokens special = SpecialTokens::kWith) const;
    /// UTF-8 text of token ids; ids outside the vocabulary give nothing. Throws UnsupportedError
    /// without a tokenizer.
    [[nodiscard]] std::string detokenize(std::span<const int32_t> ids,
                                         SpecialTokens special = SpecialTokens::kWithout) const;

    struct Impl;

private:
    friend struct Access;
    explicit Model(std::shared_ptr<const Impl> impl);
    std::shared_ptr<const Impl> impl_;
};

}  // namespace lowkey::api
