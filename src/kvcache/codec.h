#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "kernels/kernels.h"
#include "kvcache/plan.h"
#include "kvcache/stores.h"
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

/// Where the tokens of some slots stand in their sequence.
struct SlotPositions {
    /// Position of the segment's first token: blocks of positions are counted from there.
    int64_t origin = 0;
    int64_t first = 0;  ///< position of the first slot; the others follow
    /// [slots] of tokens in any order (anything in unused slots); null: they follow each other.
    const int32_t* each = nullptr;
};

/// Memory of a thread that codecs use; others take slots from kFirstFree on.
enum CodecScratch : size_t { kCodecFirst, kCodecSecond, kCodecThird, kFirstFreeScratch };

// Codecs are immutable and thread-safe; virtual calls are made per page or run of tokens, never per
// token.

/// Writes keys into tiles, and scores queries against them.
class KeyCodec {
public:
    virtual ~KeyCodec() = default;

    /// Bytes of the keys of one tile.
    [[nodiscard]] virtual int64_t tile_bytes() const = 0;
    /// Whether encode() takes keys as they are before rotation; positions then enter at score().
    [[nodiscard]] virtual bool before_rotation() const { return false; }
    /// Whether a token may stand in any slot: else it must stand where its position puts it.
    [[nodiscard]] virtual bool any_order() const { return true; }
    /// Writes `num_tokens` keys (rows of `dim`, `stride` apart) to consecutive slots from
    /// `first_slot` of the tiles that start at `tiles`; `at` says where the first of them stands.
    virtual void encode(const float* keys, int64_t stride, int64_t num_tokens, std::byte* tiles,
                        int64_t first_slot, const SlotPositions& at) const = 0;
    /// The key in a slot as queries see it (not rotated for codecs before rotation), [dim]; `at`
    /// says where it stands.
    virtual void decode(const std::byte* tiles, int64_t slot, const SlotPositions& at,
                        float* key) const = 0;
    /// Copies the key of one slot to another, of other tiles perhaps, without loss. Slots beside it
    /// stay as they are.
    virtual void copy(const std::byte* from, int64_t from_slot, std::byte* to,
                      int64_t to_slot) const = 0;

    /// Bytes of one query in the codec's form.
    [[nodiscard]] virtual int64_t query_bytes() const = 0;
    /// Queries (after rotation) [rows, dim] → [rows] in the codec's form.
    virtual void prepare_queries(const float* q, int64_t rows, std::byte* prepared) const = 0;
    /// out[row, slot] = query · key for all slots of the tiles, where `at` says they stand.
    virtual void score(const std::byte* prepared, int64_t rows, Tiles tiles,
                       const SlotPositions& at, float* out, int64_t out_stride,
                       Scratch& scratch) const = 0;

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
    /// Sums [rows, sum_dim] → out [rows, dim], added to what is there; `weights` [rows] are the sums
    /// of p. The sums are no more afterwards.
    virtual void finish(float* acc, const float* weights, int64_t rows, float* out) const = 0;

    [[nodiscard]] virtual std::optional<LinearMaps> linear_maps() const { return std::nullopt; }
};

/// The codec of a spec. Throws UnsupportedError for an unknown name, UsageError for settings or
/// tensors that are wrong, missing or unknown. Maps:
///   identity  coordinates are the vector's numbers
///   linear    see LinearMap. Settings of keys: `space`, the keys that are projected:
///             "after_rotation" (unless given); "before_rotation", which are rebuilt and rotated
///             when a query meets them; or "in_block", keys rotated by their position within a
///             block only, so that a query is turned once per block. The `fast_planes` rotary
///             planes that turn fastest stand in blocks of `fast_span` tokens, the others (and what
///             does not rotate) in blocks of `slow_span`; the first `fast_coordinates` coordinates
///             are of the former. Spans are powers of two from 16 on.
std::shared_ptr<const KeyCodec> make_key_codec(const CodecSpec& spec, const CodecContext& context);
std::shared_ptr<const ValueCodec> make_value_codec(const CodecSpec& spec,
                                                   const CodecContext& context);

/// Keys before rotation: scoring rebuilds them. Throws as make_key_codec().
std::shared_ptr<const KeyCodec> make_rebuilt_key_codec(const CodecSpec& spec,
                                                       const CodecContext& context);
/// Keys rotated within blocks.
std::shared_ptr<const KeyCodec> make_block_key_codec(const CodecSpec& spec,
                                                     const CodecContext& context);

}  // namespace lowkey
