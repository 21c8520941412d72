#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "kernels/kernels.h"
#include "kvcache/plan.h"
#include "tensor/dtype.h"

namespace lowkey {

/// What a store may need to know of the coordinates that it writes.
struct StoreContext {
    int64_t dim = 0;             ///< coordinates
    DType dtype = DType::kBF16;  ///< of floating-point coordinates, unless the part says otherwise
    /// Where bands end, ascending, the last one at dim: coordinates whose queries are prepared
    /// together. Empty: one band.
    std::vector<int64_t> band_ends;
    std::string where;  ///< "layer 3, KV head 1, key", for messages

    [[nodiscard]] int64_t num_bands() const {
        return band_ends.empty() ? 1 : static_cast<int64_t>(band_ends.size());
    }
    [[nodiscard]] int64_t band_begin(int64_t band) const {
        return band == 0 ? 0 : band_ends[static_cast<size_t>(band) - 1];
    }
    [[nodiscard]] int64_t band_end(int64_t band) const {
        return band_ends.empty() ? dim : band_ends[static_cast<size_t>(band)];
    }
};

// A page holds tiles of 16 tokens, each store's tiles in a form of its own. Stores are immutable and
// thread-safe; virtual calls are made per page or run of tokens, never per token.

/// What the tiles of keys and those of values have in common.
class TileStore {
public:
    virtual ~TileStore() = default;

    /// Coordinates of a token.
    [[nodiscard]] virtual int64_t dim() const = 0;
    /// Bytes of one tile.
    [[nodiscard]] virtual int64_t tile_bytes() const = 0;
    /// Writes the coordinates of `num_tokens` tokens (rows of dim, `stride` apart) to consecutive
    /// slots from `first_slot` of the tiles that start at `tiles`. Slots are filled in order; a
    /// tile's unused slots hold finite numbers.
    virtual void write(const float* coords, int64_t stride, int64_t num_tokens, std::byte* tiles,
                       int64_t first_slot) const = 0;
    /// The coordinates in a slot, [dim].
    virtual void read(const std::byte* tiles, int64_t slot, float* coords) const = 0;
    /// Copies those of one slot to another, of other tiles perhaps, without loss. Slots beside it
    /// stay as they are.
    virtual void copy(const std::byte* from, int64_t from_slot, std::byte* to,
                      int64_t to_slot) const = 0;
};

/// Coordinates of keys, met by queries.
class KeyStore : public TileStore {
public:
    /// Bytes of one prepared query: in a form of the store's own.
    [[nodiscard]] virtual int64_t query_bytes() const = 0;
    /// What queries' numbers are to be multiplied with before they are prepared, [dim]; empty: 1.
    [[nodiscard]] virtual std::span<const float> units() const { return {}; }
    /// Prepares the part of the queries [rows, band's coordinates] (rows `stride` apart), times the
    /// units, that meets one band. `bias` [rows] is added to every score; null: nothing. Other
    /// bands' parts stay as they are.
    virtual void prepare(int64_t band, const float* q, int64_t stride, const float* bias,
                         int64_t rows, std::byte* prepared) const = 0;
    /// out[row, slot] = Σ over all bands of query · coordinates + bias, for all slots.
    virtual void score(const std::byte* prepared, int64_t rows, Tiles tiles, float* out,
                       int64_t out_stride) const = 0;
};

/// Coordinates of values, summed by weights.
class ValueStore : public TileStore {
public:
    /// Length of a sum in the store's own unit.
    [[nodiscard]] virtual int64_t sum_dim() const = 0;
    /// acc[row, :] += Σ_slot p[row, slot] · coordinates, in the store's unit; p is 0 in unused
    /// slots.
    virtual void accumulate(const float* p, int64_t p_stride, int64_t rows, Tiles tiles,
                            float* acc) const = 0;
    /// Sums [rows, sum_dim] become coordinates [rows, dim], in place where the sums are no longer.
    virtual void finish(float* acc, int64_t rows) const = 0;
};

/// The store of a part. Throws UnsupportedError for an unknown name, UsageError for settings or
/// tensors that are wrong, missing or unknown.
///   float     as they are. Setting `dtype`: "bf16" or "f32" (that of the cache unless given).
///   coded     in codes of few bits. Tensors: `widths` [1, runs], bits of the codes of each run of
///             8 coordinates, 1 to 8; `steps` [1, coordinates], above 0: a coordinate stands for
///             its code's level (coded.h) times its step. With the setting `token_scale`, times a
///             scale of the token, a power of 2^(1/4) in 4 bits: next to `token_scale` times the
///             root mean square of its coordinates, each as a share of what its levels suit best.
std::shared_ptr<const KeyStore> make_key_store(const CodecPart& part, const StoreContext& context);
std::shared_ptr<const ValueStore> make_value_store(const CodecPart& part,
                                                   const StoreContext& context);

/// The dtype of a store `float`.
DType float_store_dtype(const CodecPart& part, const StoreContext& context);
std::shared_ptr<const KeyStore> make_float_key_store(const CodecPart& part,
                                                     const StoreContext& context);
std::shared_ptr<const ValueStore> make_float_value_store(const CodecPart& part,
                                                         const StoreContext& context);

std::shared_ptr<const KeyStore> make_coded_key_store(const CodecPart& part,
                                                     const StoreContext& context);
std::shared_ptr<const ValueStore> make_coded_value_store(const CodecPart& part,
                                                         const StoreContext& context);

/// Refuses, by name, settings and tensors that a map or store does not know: one that is not
/// understood would make another cache than the plan says. `kind` is "map" or "store".
void check_part(const CodecPart& part, const char* kind, const std::vector<std::string>& settings,
                const std::vector<std::string>& tensors, const std::string& where);
/// A tensor of a part with exactly this dtype and shape (-1: any size). Throws UsageError.
std::shared_ptr<const Tensor> part_tensor(const CodecPart& part, const std::string& name,
                                          const Shape& shape, const std::string& where);

}  // namespace lowkey
