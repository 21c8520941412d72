#include <algorithm>
#include <cmath>
#include <vector>

#include "base/error.h"
#include "kvcache/codec.h"
#include "kvcache/linear_map.h"
#include "kvcache/tile.h"

namespace lowkey {
namespace {

/// Coordinates of keys before rotation: scoring rebuilds a few tiles of keys at a time, rotates
/// them to their positions, and lets all query rows meet them while they are in the first cache.
class RebuiltKeyCodec final : public KeyCodec {
public:
    /// Kernels may multiply coordinates in bf16 by rows of bf16: the map is of such numbers, so
    /// that what is rebuilt is the same for all of them, and for decode().
    RebuiltKeyCodec(const CodecSpec& spec, const CodecContext& context, bool round_decode)
        : map_(spec.map, context.dim, context.where, round_decode),
          store_(make_key_store(spec.store, {map_.rank(), context.dtype, {}, context.where})),
          rotary_(context.rotary),
          dense_{DType::kF32, context.dim},
          rows_(static_cast<size_t>(context.dim * store_->query_bytes())) {
        // Rebuilding is scoring with the rows of decodeᵀ as queries.
        std::vector<float> rows = map_.decode_rows();
        for (size_t i = 0; i < rows.size() && !store_->units().empty(); ++i)
            rows[i] *= store_->units()[i % static_cast<size_t>(map_.rank())];
        store_->prepare(0, rows.data(), map_.rank(), map_.has_mean() ? map_.mean().data() : nullptr,
                        map_.dim(), rows_.data());
        const std::vector<double> frequencies = rope_frequencies(rotary_->config());
        for (const double frequency : frequencies) {
            for (int t = 0; t < kTileTokens; ++t) {
                turn_cos_.push_back(static_cast<float>(std::cos(t * frequency)));
                turn_sin_.push_back(static_cast<float>(std::sin(t * frequency)));
            }
        }
    }

    [[nodiscard]] int64_t tile_bytes() const override { return store_->tile_bytes(); }
    [[nodiscard]] bool before_rotation() const override { return true; }

    void encode(const float* keys, int64_t stride, int64_t num_tokens, std::byte* tiles,
                int64_t first_slot, const SlotPositions&) const override {
        std::vector<float> coords(static_cast<size_t>(num_tokens * map_.rank()));
        map_.to_coords(keys, stride, num_tokens, coords.data());
        store_->write(coords.data(), map_.rank(), num_tokens, tiles, first_slot);
    }
    void decode(const std::byte* tiles, int64_t slot, const SlotPositions&,
                float* key) const override {
        std::vector<float> coords(static_cast<size_t>(map_.rank()));
        store_->read(tiles, slot, coords.data());
        map_.from_coords(coords.data(), key);
    }
    void copy(const std::byte* from, int64_t from_slot, std::byte* to,
              int64_t to_slot) const override {
        store_->copy(from, from_slot, to, to_slot);
    }

    [[nodiscard]] int64_t query_bytes() const override {
        return map_.dim() * static_cast<int64_t>(sizeof(float));
    }
    void prepare_queries(const float* q, int64_t rows, std::byte* prepared) const override {
        std::copy_n(q, rows * map_.dim(), reinterpret_cast<float*>(prepared));
    }

    void score(const std::byte* prepared, int64_t rows, Tiles tiles, const SlotPositions& at,
               float* out, int64_t out_stride, Scratch& scratch) const override {
        const int64_t tile_floats = map_.dim() * kTileTokens;
        const int64_t pairs = rotary_->num_pairs();
        float* keys = scratch.floats(kCodecFirst, kBlockTiles * tile_floats);  // [tiles, dim, 16]
        float* cosines = scratch.floats(kCodecSecond, 2 * pairs * kTileTokens);
        float* sines = cosines + pairs * kTileTokens;  // [pairs, 16] each
        for (int64_t first = 0; first < tiles.count; first += kBlockTiles) {
            const int64_t count = std::min(kBlockTiles, tiles.count - first);
            for (int64_t i = 0; i < count; ++i) {
                float* key = keys + i * tile_floats;
                store_->score(rows_.data(), map_.dim(), tile_at(tiles, first + i), key,
                              kTileTokens);
                find_angles(at, (first + i) * kTileTokens, cosines, sines);
                kernels().rotate_tile(key, pairs, rotary_->pair_step(), rotary_->pair_offset(),
                                      cosines, sines);
            }
            dense_.score(reinterpret_cast<const float*>(prepared), map_.dim(), rows, {keys, count},
                         out + first * kTileTokens, out_stride);
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

    /// Cosines and sines [pairs, 16] of the positions of a tile that begins at a slot.
    void find_angles(const SlotPositions& at, int64_t slot, float* cosines, float* sines) const {
        const int64_t pairs = rotary_->num_pairs();
        // Unused slots may hold any position.
        const auto place = [&](int64_t position) {
            return std::clamp<int64_t>(position, 0, rotary_->num_positions() - 1);
        };
        const int32_t* each = at.each == nullptr ? nullptr : at.each + slot;
        bool in_order = true;
        for (int t = 1; each != nullptr && t < kTileTokens; ++t)
            in_order = in_order && each[t] == each[0] + t;
        if (in_order) {
            // The first token's angles, turned on from token to token.
            const int64_t first = place(each == nullptr ? at.first + slot : each[0]);
            for (int64_t j = 0; j < pairs; ++j) {
                std::fill_n(cosines + j * kTileTokens, kTileTokens, rotary_->cos(first)[j]);
                std::fill_n(sines + j * kTileTokens, kTileTokens, rotary_->sin(first)[j]);
            }
            kernels().rotate_tile(cosines, pairs, 1, pairs, turn_cos_.data(), turn_sin_.data());
            return;
        }
        for (int64_t t = 0; t < kTileTokens; ++t) {
            const float* cos = rotary_->cos(place(each[t]));
            const float* sin = rotary_->sin(place(each[t]));
            for (int64_t j = 0; j < pairs; ++j) {
                cosines[j * kTileTokens + t] = cos[j];
                sines[j * kTileTokens + t] = sin[j];
            }
        }
    }

    LinearMap map_;
    std::shared_ptr<const KeyStore> store_;
    std::shared_ptr<const RotaryTable> rotary_;
    FloatTiles dense_;
    std::vector<std::byte> rows_;  // of decodeᵀ, prepared
    // Of a turn by 0 to 15 positions, [pairs, 16].
    std::vector<float> turn_cos_;
    std::vector<float> turn_sin_;
};

}  // namespace

std::shared_ptr<const KeyCodec> make_rebuilt_key_codec(const CodecSpec& spec,
                                                       const CodecContext& context) {
    const bool halves =
        spec.store.name == CodecSpec().store.name &&
        float_store_dtype(spec.store, {0, context.dtype, {}, context.where}) == DType::kBF16;
    return std::make_shared<RebuiltKeyCodec>(spec, context, halves);
}

}  // namespace lowkey
