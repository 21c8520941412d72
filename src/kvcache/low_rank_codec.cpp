#include "kvcache/low_rank_codec.h"

#include <algorithm>
#include <vector>

#include "base/error.h"
#include "kvcache/tile.h"

namespace lowkey {
namespace {

std::vector<float> transposed(const Tensor& matrix) {
    const int64_t rows = matrix.dim(0);
    const int64_t cols = matrix.dim(1);
    std::vector<float> out(static_cast<size_t>(rows * cols));
    for (int64_t r = 0; r < rows; ++r) {
        for (int64_t c = 0; c < cols; ++c) {
            out[static_cast<size_t>(c * rows + r)] =
                matrix.f32()[static_cast<size_t>(r * cols + c)];
        }
    }
    return out;
}

/// What keys and values share: the two maps and the tiles of coordinates.
struct LowRank {
    LowRank(const CodecSpec& spec, const CodecContext& context)
        : dim(context.dim),
          encode(codec_tensor(spec, "encode", {context.dim, -1}, context)),
          rank(encode->dim(1)),
          decode(codec_tensor(spec, "decode", {rank, context.dim}, context)),
          encode_rows(transposed(*encode)),
          decode_rows(transposed(*decode)),
          tiles{codec_dtype(spec, context), rank} {
        if (rank < 1)
            throw UsageError("codec 'low_rank' of rank 0", context.where,
                             "use a rank of at least 1");
        maps = {encode, decode,
                CodecSpec{"dense", {{"dtype", std::string(dtype_name(tiles.dtype))}}, {}}};
    }

    void to_coords(const float* x, float* coords) const {
        kernels().gemv_f32(encode_rows.data(), rank, dim, x, coords);
    }
    void from_coords(const float* coords, float* x) const {
        kernels().gemv_f32(decode_rows.data(), dim, rank, coords, x);
    }

    int64_t dim;
    std::shared_ptr<const Tensor> encode;  // [dim, rank]
    int64_t rank;
    std::shared_ptr<const Tensor> decode;  // [rank, dim]
    std::vector<float> encode_rows;        // [rank, dim]
    std::vector<float> decode_rows;        // [dim, rank]
    FloatTiles tiles;
    LinearMaps maps;
};

class LowRankKeyCodec : public KeyCodec {
public:
    LowRankKeyCodec(const CodecSpec& spec, const CodecContext& context) : map_(spec, context) {}

    [[nodiscard]] int64_t tile_bytes() const override { return map_.tiles.tile_bytes(); }
    [[nodiscard]] std::optional<LinearMaps> linear_maps() const override { return map_.maps; }

    void encode(const float* keys, int64_t stride, int64_t num_tokens, std::byte* tiles,
                int64_t first_slot) const override {
        std::vector<float> coords(static_cast<size_t>(map_.rank));
        for (int64_t t = 0; t < num_tokens; ++t) {
            map_.to_coords(keys + t * stride, coords.data());
            map_.tiles.write_key(coords.data(), tiles, first_slot + t);
        }
    }
    void decode(const std::byte* tiles, int64_t slot, float* key) const override {
        std::vector<float> coords(static_cast<size_t>(map_.rank));
        map_.tiles.read_key(tiles, slot, coords.data());
        map_.from_coords(coords.data(), key);
    }
    void copy(const std::byte* from, int64_t from_slot, std::byte* to,
              int64_t to_slot) const override {
        map_.tiles.copy_key(from, from_slot, to, to_slot);
    }

    [[nodiscard]] int64_t query_dim() const override { return map_.rank; }
    void prepare_queries(const float* q, int64_t rows, float* prepared) const override {
        // q · k' = q · (c decode) = (q decodeᵀ) · c
        for (int64_t r = 0; r < rows; ++r) {
            kernels().gemv_f32(map_.decode->f32().data(), map_.rank, map_.dim, q + r * map_.dim,
                               prepared + r * map_.rank);
        }
    }
    void score(const float* prepared, int64_t rows, const std::byte* tiles, int64_t num_tiles,
               const int32_t*, float* out, int64_t out_stride, Scratch&) const override {
        map_.tiles.score(prepared, rows, tiles, num_tiles, out, out_stride);
    }

protected:
    LowRank map_;
};

/// Coordinates of keys before rotation: scoring rebuilds each tile's keys, rotates them to their
/// positions, and lets all query rows meet the rebuilt tile.
class UnrotatedLowRankKeyCodec final : public LowRankKeyCodec {
public:
    UnrotatedLowRankKeyCodec(const CodecSpec& spec, const CodecContext& context)
        : LowRankKeyCodec(spec, context),
          rotary_(context.rotary),
          dense_{DType::kF32, context.dim} {
        // Kernels may multiply coordinates in bf16 by rows of bf16; what is rebuilt is then the
        // same for all of them.
        if (map_.tiles.dtype != DType::kBF16) return;
        for (float& x : map_.decode_rows) x = to_f32(to_bf16(x));
    }

    [[nodiscard]] bool before_rotation() const override { return true; }
    [[nodiscard]] int64_t query_dim() const override { return map_.dim; }
    [[nodiscard]] std::optional<LinearMaps> linear_maps() const override { return std::nullopt; }

    void prepare_queries(const float* q, int64_t rows, float* prepared) const override {
        std::copy_n(q, rows * map_.dim, prepared);
    }

    void score(const float* prepared, int64_t rows, const std::byte* tiles, int64_t num_tiles,
               const int32_t* positions, float* out, int64_t out_stride,
               Scratch& scratch) const override {
        const int64_t tile_floats = map_.dim * kTileTokens;
        const int64_t pairs = rotary_->num_pairs();
        float* keys = scratch.floats(0, num_tiles * tile_floats);     // [num_tiles, dim, 16]
        float* cosines = scratch.floats(1, 2 * pairs * kTileTokens);  // [pairs, 16] twice
        float* sines = cosines + pairs * kTileTokens;
        for (int64_t tile = 0; tile < num_tiles; ++tile) {
            // key[i, t] = Σ_j decode[j, i] coords[j, t]: the score kernel with the rows of decodeᵀ
            // as queries
            float* key = keys + tile * tile_floats;
            const auto rebuild =
                map_.tiles.dtype == DType::kF32 ? kernels().score_f32 : kernels().score_bf16;
            rebuild(map_.decode_rows.data(), map_.rank, map_.dim, map_.rank,
                    tiles + tile * tile_bytes(), 1, key, kTileTokens);
            gather_angles(positions + tile * kTileTokens, cosines, sines);
            kernels().rotate_tile(key, pairs, rotary_->pair_step(), rotary_->pair_offset(), cosines,
                                  sines);
        }
        dense_.score(prepared, rows, reinterpret_cast<const std::byte*>(keys), num_tiles, out,
                     out_stride);
    }

private:
    void gather_angles(const int32_t* positions, float* cosines, float* sines) const {
        const int64_t pairs = rotary_->num_pairs();
        for (int64_t t = 0; t < kTileTokens; ++t) {
            // Unused slots may hold any position.
            const int64_t pos = std::clamp<int64_t>(positions[t], 0, rotary_->num_positions() - 1);
            const float* cos = rotary_->cos(pos);
            const float* sin = rotary_->sin(pos);
            for (int64_t j = 0; j < pairs; ++j) {
                cosines[j * kTileTokens + t] = cos[j];
                sines[j * kTileTokens + t] = sin[j];
            }
        }
    }

    std::shared_ptr<const RotaryTable> rotary_;
    FloatTiles dense_;
};

class LowRankValueCodec final : public ValueCodec {
public:
    LowRankValueCodec(const CodecSpec& spec, const CodecContext& context) : map_(spec, context) {}

    [[nodiscard]] int64_t tile_bytes() const override { return map_.tiles.tile_bytes(); }
    [[nodiscard]] int64_t sum_dim() const override { return map_.rank; }
    [[nodiscard]] std::optional<LinearMaps> linear_maps() const override { return map_.maps; }

    void encode(const float* values, int64_t stride, int64_t num_tokens, std::byte* tiles,
                int64_t first_slot) const override {
        std::vector<float> coords(static_cast<size_t>(map_.rank));
        for (int64_t t = 0; t < num_tokens; ++t) {
            map_.to_coords(values + t * stride, coords.data());
            map_.tiles.write_value(coords.data(), tiles, first_slot + t);
        }
    }
    void decode(const std::byte* tiles, int64_t slot, float* value) const override {
        std::vector<float> coords(static_cast<size_t>(map_.rank));
        map_.tiles.read_value(tiles, slot, coords.data());
        map_.from_coords(coords.data(), value);
    }
    void copy(const std::byte* from, int64_t from_slot, std::byte* to,
              int64_t to_slot) const override {
        map_.tiles.copy_value(from, from_slot, to, to_slot);
    }
    void accumulate(const float* p, int64_t p_stride, int64_t rows, const std::byte* tiles,
                    int64_t num_tiles, float* acc) const override {
        map_.tiles.sum(p, p_stride, rows, tiles, num_tiles, acc);
    }
    void finish(const float* acc, int64_t rows, float* out) const override {
        std::vector<float> value(static_cast<size_t>(map_.dim));
        for (int64_t r = 0; r < rows; ++r) {
            map_.from_coords(acc + r * map_.rank, value.data());
            for (int64_t i = 0; i < map_.dim; ++i)
                out[r * map_.dim + i] += value[static_cast<size_t>(i)];
        }
    }

private:
    LowRank map_;
};

}  // namespace

std::shared_ptr<const KeyCodec> make_low_rank_key_codec(const CodecSpec& spec,
                                                        const CodecContext& context) {
    const std::string space =
        string_setting(spec.settings, "space", context.where).value_or("after_rotation");
    if (space != "before_rotation" && space != "after_rotation") {
        throw UsageError("codec 'low_rank' in space '" + space + "'", context.where,
                         "use before_rotation or after_rotation");
    }
    // Without rotary positions there is no rotation to come before, and nothing to rebuild.
    if (space == "before_rotation" && context.rotary != nullptr) {
        if (context.rotary->depends_on_length()) {
            // Each key would have to remember how long the sequence was when it came.
            throw UnsupportedError(
                "codec 'low_rank' before rotation cannot rebuild keys whose rotary frequencies "
                "depend on the length of the sequence",
                context.where,
                "use a basis after rotation, or --max-context within the original context");
        }
        return std::make_shared<UnrotatedLowRankKeyCodec>(spec, context);
    }
    return std::make_shared<LowRankKeyCodec>(spec, context);
}

std::shared_ptr<const ValueCodec> make_low_rank_value_codec(const CodecSpec& spec,
                                                            const CodecContext& context) {
    return std::make_shared<LowRankValueCodec>(spec, context);
}

}  // namespace lowkey
