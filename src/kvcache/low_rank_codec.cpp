#include "kvcache/low_rank_codec.h"

#include <algorithm>
#include <array>
#include <cmath>
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

/// y [rows, out] += x [rows, in] · M [in, out], by the kernel of weighted sums: rows of M are its
/// tokens. Much faster for the few queries of a KV head than a dot product for each number of y.
class RowProduct {
public:
    /// M stays where it is and must outlive this.
    RowProduct(const float* matrix, int64_t in, int64_t out) : matrix_(matrix), in_(in), out_(out) {
        if (in % kTileTokens == 0) return;
        last_rows_.resize(static_cast<size_t>(kTileTokens * out));
        std::copy_n(matrix + whole() * out, (in - whole()) * out, last_rows_.begin());
    }

    void add(const float* x, int64_t rows, float* y) const {
        kernels().sum_f32(x, in_, rows, out_, {matrix_, whole() / kTileTokens}, y, out_);
        if (last_rows_.empty()) return;
        // What is no whole tile, followed by zeros.
        for (int64_t r = 0; r < rows; r += kRows) {
            const int64_t count = std::min(kRows, rows - r);
            std::array<float, kRows * kTileTokens> last{};
            for (int64_t i = 0; i < count; ++i)
                std::copy_n(x + (r + i) * in_ + whole(), in_ - whole(),
                            last.begin() + i * kTileTokens);
            kernels().sum_f32(last.data(), kTileTokens, count, out_, {last_rows_.data(), 1},
                              y + r * out_, out_);
        }
    }

private:
    static constexpr int64_t kRows = 8;
    [[nodiscard]] int64_t whole() const { return in_ / kTileTokens * kTileTokens; }

    const float* matrix_;
    int64_t in_;
    int64_t out_;
    std::vector<float> last_rows_;  // [16, out], zeros behind those there are
};

/// The map [rank, dim] that turns coordinates back, in f32. `round`: its numbers are those that
/// bf16 holds.
std::shared_ptr<const Tensor> decode_map(const CodecSpec& spec, int64_t rank,
                                         const CodecContext& context, bool round) {
    auto map = codec_tensor(spec, "decode", {rank, context.dim}, context);
    if (!round) return map;
    const Tensor rounded = Tensor::convert(map->view(), DType::kBF16);
    return std::make_shared<const Tensor>(Tensor::convert(rounded.view(), DType::kF32));
}

/// What keys and values share: the two maps and the tiles of coordinates.
struct LowRank {
    /// `round_decode`: vectors are rebuilt by products of bf16.
    LowRank(const CodecSpec& spec, const CodecContext& context, bool round_decode = false)
        : dim(context.dim),
          encode(codec_tensor(spec, "encode", {context.dim, -1}, context)),
          rank(encode->dim(1)),
          decode(decode_map(spec, rank, context, round_decode)),
          decode_rows(transposed(*decode)),
          encode_product(encode->f32().data(), dim, rank),
          decode_product(decode->f32().data(), rank, dim),
          tiles{codec_dtype(spec, context), rank} {
        if (rank < 1 || rank > dim) {
            throw UsageError("codec 'low_rank' of rank " + std::to_string(rank), context.where,
                             "use 1 to " + std::to_string(dim));
        }
        maps = {encode, decode,
                CodecSpec{"dense", {{"dtype", std::string(dtype_name(tiles.dtype))}}, {}}};
    }

    void to_coords(const float* x, float* coords) const {
        std::fill_n(coords, rank, 0.0f);
        encode_product.add(x, 1, coords);
    }
    void from_coords(const float* coords, float* x) const {
        std::fill_n(x, dim, 0.0f);
        decode_product.add(coords, 1, x);
    }

    int64_t dim;
    std::shared_ptr<const Tensor> encode;  // [dim, rank]
    int64_t rank;
    std::shared_ptr<const Tensor> decode;  // [rank, dim]
    std::vector<float> decode_rows;        // [dim, rank]
    RowProduct encode_product;
    RowProduct decode_product;
    FloatTiles tiles;
    LinearMaps maps;
};

class LowRankKeyCodec : public KeyCodec {
public:
    LowRankKeyCodec(const CodecSpec& spec, const CodecContext& context, bool round_decode = false)
        : map_(spec, context, round_decode),
          query_product_(map_.decode_rows.data(), map_.dim, map_.rank) {}

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
        std::fill_n(prepared, rows * map_.rank, 0.0f);
        query_product_.add(q, rows, prepared);
    }
    void score(const float* prepared, int64_t rows, Tiles tiles, const int32_t*, float* out,
               int64_t out_stride, Scratch&) const override {
        map_.tiles.score(prepared, rows, tiles, out, out_stride);
    }

protected:
    LowRank map_;

private:
    RowProduct query_product_;  // with decodeᵀ
};

/// Coordinates of keys before rotation: scoring rebuilds a few tiles of keys at a time, rotates
/// them to their positions, and lets all query rows meet them while they are in the first cache.
class UnrotatedLowRankKeyCodec final : public LowRankKeyCodec {
public:
    /// Kernels may multiply coordinates in bf16 by rows of bf16: the map is of such numbers, so
    /// that what is rebuilt is the same for all of them, and for decode().
    UnrotatedLowRankKeyCodec(const CodecSpec& spec, const CodecContext& context)
        : LowRankKeyCodec(spec, context, codec_dtype(spec, context) == DType::kBF16),
          rotary_(context.rotary),
          dense_{DType::kF32, context.dim} {
        const std::vector<double> frequencies = rope_frequencies(rotary_->config());
        for (const double frequency : frequencies) {
            for (int t = 0; t < kTileTokens; ++t) {
                turn_cos_.push_back(static_cast<float>(std::cos(t * frequency)));
                turn_sin_.push_back(static_cast<float>(std::sin(t * frequency)));
            }
        }
    }

    [[nodiscard]] bool before_rotation() const override { return true; }
    [[nodiscard]] int64_t query_dim() const override { return map_.dim; }
    [[nodiscard]] std::optional<LinearMaps> linear_maps() const override { return std::nullopt; }

    void prepare_queries(const float* q, int64_t rows, float* prepared) const override {
        std::copy_n(q, rows * map_.dim, prepared);
    }

    void score(const float* prepared, int64_t rows, Tiles tiles, const int32_t* positions,
               float* out, int64_t out_stride, Scratch& scratch) const override {
        const int64_t tile_floats = map_.dim * kTileTokens;
        const int64_t pairs = rotary_->num_pairs();
        float* keys = scratch.floats(0, kBlockTiles * tile_floats);   // [kBlockTiles, dim, 16]
        float* cosines = scratch.floats(1, 2 * pairs * kTileTokens);  // [pairs, 16] twice
        float* sines = cosines + pairs * kTileTokens;
        const auto rebuild =
            map_.tiles.dtype == DType::kF32 ? kernels().score_f32 : kernels().score_bf16;
        for (int64_t first = 0; first < tiles.count; first += kBlockTiles) {
            const int64_t count = std::min(kBlockTiles, tiles.count - first);
            for (int64_t i = 0; i < count; ++i) {
                // key[i, t] = Σ_j decode[j, i] coords[j, t]: the score kernel with the rows of
                // decodeᵀ as queries
                float* key = keys + i * tile_floats;
                rebuild(map_.decode_rows.data(), map_.rank, map_.dim, map_.rank,
                        tile_at(tiles, first + i), key, kTileTokens);
                find_angles(positions + (first + i) * kTileTokens, cosines, sines);
                kernels().rotate_tile(key, pairs, rotary_->pair_step(), rotary_->pair_offset(),
                                      cosines, sines);
            }
            dense_.score(prepared, rows, {keys, count}, out + first * kTileTokens, out_stride);
        }
    }

private:
    // Their keys, in f32, fit the first cache.
    static constexpr int64_t kBlockTiles = 4;

    /// One of some tiles, and its share of what is read soon.
    [[nodiscard]] Tiles tile_at(const Tiles& tiles, int64_t i) const {
        const auto* data = static_cast<const std::byte*>(tiles.data);
        const auto* soon = static_cast<const std::byte*>(tiles.soon.data);
        const int64_t begin = tiles.soon.bytes * i / tiles.count;
        const int64_t end = tiles.soon.bytes * (i + 1) / tiles.count;
        return {data + i * tile_bytes(), 1, {soon + begin, end - begin}};
    }

    /// Cosines and sines [pairs, 16] of a tile's positions.
    void find_angles(const int32_t* positions, float* cosines, float* sines) const {
        const int64_t pairs = rotary_->num_pairs();
        // Unused slots may hold any position.
        const auto place = [&](int64_t t) {
            return std::clamp<int64_t>(positions[t], 0, rotary_->num_positions() - 1);
        };
        bool in_order = true;
        for (int t = 1; t < kTileTokens; ++t)
            in_order = in_order && positions[t] == positions[0] + t;
        if (in_order) {
            // The first token's angles, turned on from token to token.
            for (int64_t j = 0; j < pairs; ++j) {
                std::fill_n(cosines + j * kTileTokens, kTileTokens, rotary_->cos(place(0))[j]);
                std::fill_n(sines + j * kTileTokens, kTileTokens, rotary_->sin(place(0))[j]);
            }
            kernels().rotate_tile(cosines, pairs, 1, pairs, turn_cos_.data(), turn_sin_.data());
            return;
        }
        for (int64_t t = 0; t < kTileTokens; ++t) {
            const float* cos = rotary_->cos(place(t));
            const float* sin = rotary_->sin(place(t));
            for (int64_t j = 0; j < pairs; ++j) {
                cosines[j * kTileTokens + t] = cos[j];
                sines[j * kTileTokens + t] = sin[j];
            }
        }
    }

    std::shared_ptr<const RotaryTable> rotary_;
    FloatTiles dense_;
    // Of a turn by 0 to 15 positions, [pairs, 16].
    std::vector<float> turn_cos_;
    std::vector<float> turn_sin_;
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
    void accumulate(const float* p, int64_t p_stride, int64_t rows, Tiles tiles,
                    float* acc) const override {
        map_.tiles.sum(p, p_stride, rows, tiles, acc);
    }
    void finish(const float* acc, int64_t rows, float* out, Scratch&) const override {
        map_.decode_product.add(acc, rows, out);
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
