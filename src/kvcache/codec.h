#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernels/kernels.h"
#include "kvcache/plan.h"
#include "tensor/rope.h"
#include "tensor/scratch.h"

namespace lowkey {

/// What a codec may need to know of the model that it serves.
struct CodecContext {
    int64_t dim = 0;             ///< length of the head's vectors
    DType dtype = DType::kBF16;  ///< of floating-point coordinates, unless the spec says otherwise
    std::shared_ptr<const RotaryTable> rotary;  ///< null: positions do not rotate keys
    std::string where;                          ///< "layer 3, KV head 1, key", for messages
};

/// A linear codec x → x · encode → coordinates → · decode, taken apart so that both maps can be
/// multiplied into the model's weights once, and the cache then stores what arrives.
struct LinearMaps {
    std::shared_ptr<const Tensor> encode;  ///< [dim, rank] f32
    std::shared_ptr<const Tensor> decode;  ///< [rank, dim] f32
    CodecSpec rest;  ///< how the coordinates are stored, as a codec for vectors of `rank`
};

// A page holds tiles of 16 tokens. Codecs are immutable and thread-safe; virtual calls are made per
// page or run of tokens, never per token.

/// Writes keys into tiles, and scores queries against them.
class KeyCodec {
public:
    virtual ~KeyCodec() = default;

    /// Bytes of the keys of one tile.
    [[nodiscard]] virtual int64_t tile_bytes() const = 0;
    /// Whether encode() takes keys as they are before rotation; positions then enter at score().
    [[nodiscard]] virtual bool before_rotation() const { return false; }
    /// Writes `num_tokens` keys (rows of `dim`, `stride` apart) to consecutive slots from
    /// `first_slot` of the tiles that start at `tiles`. Slots are filled in order; a tile's unused
    /// slots hold finite numbers.
    virtual void encode(const float* keys, int64_t stride, int64_t num_tokens, std::byte* tiles,
                        int64_t first_slot) const = 0;
    /// The key in a slot as queries see it (not rotated for codecs before rotation), [dim].
    virtual void decode(const std::byte* tiles, int64_t slot, float* key) const = 0;
    /// Copies the key of one slot to another, of other tiles perhaps, without loss. Slots beside it
    /// stay as they are.
    virtual void copy(const std::byte* from, int64_t from_slot, std::byte* to,
                      int64_t to_slot) const = 0;

    /// Length of a query in the codec's space.
    [[nodiscard]] virtual int64_t query_dim() const = 0;
    /// Queries (after rotation) [rows, dim] → [rows, query_dim].
    virtual void prepare_queries(const float* q, int64_t rows, float* prepared) const = 0;
    /// out[row, slot] = query · key for all slots of the tiles. `positions` [16 · tiles.count] are
    /// those of the tokens in the slots (anything in unused ones); only codecs before rotation read
    /// them.
    virtual void score(const float* prepared, int64_t rows, Tiles tiles, const int32_t* positions,
                       float* out, int64_t out_stride, Scratch& scratch) const = 0;

    /// Set when the codec is linear, in the space in which it encodes.
    [[nodiscard]] virtual std::optional<LinearMaps> linear_maps() const { return std::nullopt; }
};

/// Writes values into tiles, and sums them by weights in its own space.
class ValueCodec {
public:
    virtual ~ValueCodec() = default;

    [[nodiscard]] virtual int64_t tile_bytes() const = 0;
    virtual void encode(const float* values, int64_t stride, int64_t num_tokens, std::byte* tiles,
                        int64_t first_slot) const = 0;
    virtual void decode(const std::byte* tiles, int64_t slot, float* value) const = 0;
    virtual void copy(const std::byte* from, int64_t from_slot, std::byte* to,
                      int64_t to_slot) const = 0;

    /// Length of a sum in the codec's space.
    [[nodiscard]] virtual int64_t sum_dim() const = 0;
    /// acc[row, :] += Σ_slot p[row, slot] · value; p is 0 in unused slots.
    virtual void accumulate(const float* p, int64_t p_stride, int64_t rows, Tiles tiles,
                            float* acc) const = 0;
    /// Sums [rows, sum_dim] → out [rows, dim], added to what is there.
    virtual void finish(const float* acc, int64_t rows, float* out, Scratch& scratch) const = 0;

    [[nodiscard]] virtual std::optional<LinearMaps> linear_maps() const { return std::nullopt; }
};

/// The codec of a spec. Throws UnsupportedError for an unknown name, UsageError for settings or
/// tensors that are wrong, missing or unknown.
std::shared_ptr<const KeyCodec> make_key_codec(const CodecSpec& spec, const CodecContext& context);
std::shared_ptr<const ValueCodec> make_value_codec(const CodecSpec& spec,
                                                   const CodecContext& context);

/// The floating-point dtype that a spec asks for (setting "dtype"), else the context's.
DType codec_dtype(const CodecSpec& spec, const CodecContext& context);
/// A tensor of a spec with exactly this dtype and shape (-1: any size). Throws UsageError.
std::shared_ptr<const Tensor> codec_tensor(const CodecSpec& spec, const std::string& name,
                                           const Shape& shape, const CodecContext& context);

}  // namespace lowkey
