#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "lowkey/cache.h"
#include "lowkey/export.h"
#include "lowkey/model.h"
#include "lowkey/statistics.h"

namespace lowkey {
class Tensor;
}

namespace lowkey::api {

/// A matrix [rows, columns] f32, row-major. Immutable and thread-safe; copies share the numbers,
/// and a plan stores them once.
class LOWKEY_API Matrix {
public:
    /// Copies `values` [rows · columns]. Throws UsageError when there are not so many, or none.
    Matrix(int64_t rows, int64_t columns, std::span<const float> values);
    [[nodiscard]] int64_t rows() const;
    [[nodiscard]] int64_t columns() const;
    /// [rows · columns]; valid as long as this matrix or a copy.
    [[nodiscard]] std::span<const float> values() const;

private:
    friend struct Access;
    explicit Matrix(std::shared_ptr<const Tensor> tensor);
    std::shared_ptr<const Tensor> tensor_;
};

/// A map or a store of a codec: its name, its settings and matrices.
struct CodecPart {
    std::string name;
    Settings settings = {};
    std::map<std::string, Matrix> matrices = {};
};

/// How a token's key or value is written: the map turns the vector into coordinates, the store
/// writes those. Maps:
///   identity  the vector's own numbers.
///   linear    rank coordinates c = (x - `mean`) · `encode`, standing for c · `decode` + `mean`; the
///             matrices are [head_dim, rank], [rank, head_dim] and [1, head_dim]; without `mean` it
///             is 0. Of keys, the setting `space` says which are projected: "after_rotation"
///             (unless given), "before_rotation", or "in_block": rotated by their position within
///             a block of `slow_span` tokens (128), the `fast_planes` (0) rotary planes that turn
///             fastest within blocks of `fast_span` tokens (16); the first `fast_coordinates` (0)
///             coordinates are of the latter.
/// Stores:
///   float     as they are. Setting `dtype`: "bf16" or "f32" (that of the model unless given).
///   coded     in codes of few bits: `widths` [1, rank / 8], bits of each run of 8 coordinates, 1 to
///             8; `steps` [1, rank], what a level of each coordinate's code stands for. With
///             `token_scale`, each token has a scale in 4 bits, so many times its coordinates' mean length.
struct CodecSpec {
    CodecPart map = {"identity"};
    CodecPart store = {"float"};
};

/// What one KV head remembers: which tokens × how their keys and values are written.
struct HeadPlan {
    TokenPolicySpec policy = {};
    CodecSpec key = {};
    CodecSpec value = {};
    /// The first so many tokens of a sequence are kept dense, whatever else is done: 0 to 64.
    int64_t exact_sinks = 0;
    /// A query sees so many newest tokens dense, its own among them: 0 to 4096. Not for heads that
    /// select.
    int64_t exact_recent = 0;
};

/// Bytes of a sequence's cache.
struct PlanBytes {
    int64_t allocated = 0;  ///< whole pages of 32 KiB
    int64_t full = 0;       ///< uncompressed, in bf16
};

/// What a planner is given.
struct PlanOptions {
    /// As the flags of `lowkey plan` are called, without dashes: {"keep", 0.6}, {"window", 1024}.
    /// Flags that take nothing are `true`.
    Settings settings = {};
    /// For methods that plan from statistics (eigen); may be left out for others.
    std::optional<Statistics> statistics = {};
    /// Tokens that are repeated to score heads (razor), instead of random ones.
    std::vector<int32_t> ids = {};
    /// Instead of the method's own.
    std::optional<PrefillAttention> prefill_attention = {};
};

/// A cache plan: what each KV head of a model remembers, with what is known about how that was
/// chosen. Plain data, and the same files as the program's. A value: copies are independent (but
/// share matrices). A const Plan may be read by several threads.
class LOWKEY_API Plan {
public:
    /// Every token of every head as it is: where a planner of your own begins.
    static Plan uncompressed(const Model& model);
    /// By a method that lowkey knows; see planners(). May run the model for minutes. Throws
    /// UsageError for an unknown method, and for settings that are missing, contradictory or
    /// unknown to it.
    static Plan make(const Model& model, const std::string& method,
                     const PlanOptions& options = {});
    /// The product of plans for one model, as of one that chooses tokens and one that chooses
    /// codecs. Throws UsageError when two choose the same thing for a head, for plans of different
    /// models, and for no plans.
    static Plan compose(std::span<const Plan> parts);

    /// Reads a plan file, and leaves out measurements that were made on another plan. Throws
    /// FileError, naming the file and the key, for whatever is not known or that no model could
    /// run.
    static Plan load(const std::string& path);
    /// Writes it, whole or not at all. Throws FileError, and what check() throws for heads that no
    /// model could run.
    void save(const std::string& path) const;

    Plan(const Plan& other);
    Plan(Plan&& other) noexcept;
    Plan& operator=(Plan other) noexcept;
    ~Plan();

    [[nodiscard]] int64_t num_layers() const;
    [[nodiscard]] int64_t num_kv_heads() const;  ///< of each layer
    [[nodiscard]] int64_t head_dim() const;

    /// What a head remembers. Throws UsageError for a layer or head that is not there.
    [[nodiscard]] HeadPlan head(int64_t layer, int64_t kv_head) const;
    /// Throws UsageError likewise. Whether the entry makes sense is found by check() and by what
    /// runs or saves the plan. What was measured on the plan as it was is forgotten.
    void set_head(int64_t layer, int64_t kv_head, const HeadPlan& head);
    [[nodiscard]] PrefillAttention prefill_attention() const;
    void set_prefill_attention(PrefillAttention mode);  ///< forgets measurements likewise

    /// Who made the plan: "eigen", …; for people and reports.
    [[nodiscard]] std::string method() const;
    void set_method(const std::string& method);
    /// Writes down a setting that the plan was made with, so that it can be made again.
    void record(const std::string& setting, const Setting& value);
    /// Of the checkpoint that the plan was made for.
    [[nodiscard]] std::string fingerprint() const;
    /// All but the matrices, as `lowkey inspect --json` prints it: settings, what the planner
    /// measured, every head.
    [[nodiscard]] std::string to_json() const;

    /// Pages that a prompt of `num_tokens` tokens takes in bf16. Throws what check() throws for
    /// heads that no model could run.
    [[nodiscard]] PlanBytes bytes(int64_t num_tokens) const;
    /// Throws UsageError when the plan is for another model, or settings or matrices are wrong;
    /// UnsupportedError for codecs and policies that lowkey does not know, or that do not go
    /// together. Says which layer and head.
    void check(const Model& model) const;

    struct Impl;

private:
    friend struct Access;
    explicit Plan(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

/// A method by which plans are made.
struct PlannerInfo {
    std::string name;
    std::string what;  ///< one line, with its source
};

/// Those that Plan::make() knows.
LOWKEY_API std::vector<PlannerInfo> planners();

}  // namespace lowkey::api
