#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/generation.h"
#include "io/checkpoint.h"

namespace lowkey {

class Model;
class Tokenizer;

/// How a model's generations begin, go on and end, unless a caller asks for something else.
struct GenerationConfig {
    std::optional<int32_t> bos_id = {};
    std::vector<int32_t> eos_ids = {};  ///< any of them ends a generation; sorted, may be empty
    /// Greedy unless the model says `do_sample`. Filters that it names hold all the same when a
    /// caller gives a temperature.
    SamplingOptions sampling = {};

    /// The one place that decides how a generation samples and stops: the model's own settings,
    /// and in their place what is asked. The rest of the options is as by default.
    [[nodiscard]] GenerationOptions options(const SamplingOverrides& asked) const;
};

/// Reads them. The end tokens are those of `generation_config.json` (else `config.json`) and the
/// tokenizer's, where one is given; bos is the first that one of these three names. Sampling is
/// what `generation_config.json` says, or `config.json` where there is no such file, with
/// transformers' meaning and defaults: `temperature` 1 and `top_k` 50 where `do_sample` is true.
/// Throws FileError for values out of range.
GenerationConfig read_generation_config(const Checkpoint& checkpoint,
                                        const Tokenizer* tokenizer = nullptr);

/// "greedy", or "temperature 0.7, top-k 20, top-p 0.8": in words, as flags call them.
std::string describe(const SamplingOptions& sampling);

/// The token that this tokenizer puts before every prompt, if it does.
std::optional<int32_t> leading_token(const Tokenizer& tokenizer);
/// A token that begins a document: the leading token, else the configuration's bos, else eos.
/// Throws UsageError if none.
int32_t document_start(const Tokenizer& tokenizer, const Model& model);

}  // namespace lowkey
