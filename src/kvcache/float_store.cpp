#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "kvcache/stores.h"
#include "kvcache/tile.h"

namespace lowkey {
namespace {

class FloatKeyStore final : public KeyStore {
public:
    FloatKeyStore(FloatTiles tiles, StoreContext context)
        : tiles_(tiles), context_(std::move(context)) {}

    [[nodiscard]] int64_t dim() const override { return tiles_.dim; }
    [[nodiscard]] int64_t tile_bytes() const override { return tiles_.tile_bytes(); }
    void write(const float* coords, int64_t stride, int64_t num_tokens, std::byte* tiles,
               int64_t first_slot) const override {
        for (int64_t t = 0; t < num_tokens; ++t)
            tiles_.write_key(coords + t * stride, tiles, first_slot + t);
    }
    void read(const std::byte* tiles, int64_t slot, float* coords) const override {
        tiles_.read_key(tiles, slot, coords);
    }
    void copy(const std::byte* from, int64_t from_slot, std::byte* to,
              int64_t to_slot) const override {
        tiles_.copy_key(from, from_slot, to, to_slot);
    }

    // A prepared query is its coordinates, then the bias of each band.
    [[nodiscard]] int64_t query_bytes() const override {
        return row_floats() * static_cast<int64_t>(sizeof(float));
    }
    void prepare(int64_t band, const float* q, int64_t stride, const float* bias, int64_t rows,
                 std::byte* prepared) const override {
        const int64_t begin = context_.band_begin(band);
        const auto bytes = static_cast<size_t>(context_.band_end(band) - begin) * sizeof(float);
        for (int64_t r = 0; r < rows; ++r) {
            float* row = reinterpret_cast<float*>(prepared) + r * row_floats();
            std::memcpy(row + begin, q + r * stride, bytes);
            row[tiles_.dim + band] = bias == nullptr ? 0.0f : bias[r];
        }
    }
    void score(const std::byte* prepared, int64_t rows, Tiles tiles, float* out,
               int64_t out_stride) const override {
        const auto* q = reinterpret_cast<const float*>(prepared);
        tiles_.score(q, row_floats(), rows, tiles, out, out_stride);
        for (int64_t r = 0; r < rows; ++r) {
            float bias = 0;
            for (int64_t b = 0; b < context_.num_bands(); ++b)
                bias += q[r * row_floats() + tiles_.dim + b];
            if (bias == 0) continue;
            float* row = out + r * out_stride;
            for (int64_t i = 0; i < tiles.count * kTileTokens; ++i) row[i] += bias;
        }
    }

private:
    /// Rows begin at whole cache lines.
    [[nodiscard]] int64_t row_floats() const {
        return (tiles_.dim + context_.num_bands() + 15) / 16 * 16;
    }

    FloatTiles tiles_;
    StoreContext context_;
};

class FloatValueStore final : public ValueStore {
public:
    explicit FloatValueStore(FloatTiles tiles) : tiles_(tiles) {}

    [[nodiscard]] int64_t dim() const override { return tiles_.dim; }
    [[nodiscard]] int64_t tile_bytes() const override { return tiles_.tile_bytes(); }
    void write(const float* coords, int64_t stride, int64_t num_tokens, std::byte* tiles,
               int64_t first_slot) const override {
        for (int64_t t = 0; t < num_tokens; ++t)
            tiles_.write_value(coords + t * stride, tiles, first_slot + t);
    }
    void read(const std::byte* tiles, int64_t slot, float* coords) const override {
        tiles_.read_value(tiles, slot, coords);
    }
    void copy(const std::byte* from, int64_t from_slot, std::byte* to,
              int64_t to_slot) const override {
        tiles_.copy_value(from, from_slot, to, to_slot);
    }

    [[nodiscard]] int64_t sum_dim() const override { return tiles_.dim; }
    void accumulate(const float* p, int64_t p_stride, int64_t rows, Tiles tiles,
                    float* acc) const override {
        tiles_.sum(p, p_stride, rows, tiles, acc);
    }
    void finish(float*, int64_t) const override {}

private:
    FloatTiles tiles_;
};

}  // namespace

DType float_store_dtype(const CodecPart& part, const StoreContext& context) {
    const auto name = string_setting(part.settings, "dtype", context.where);
    if (!name) return context.dtype;
    const auto dtype = parse_dtype(*name);
    if (dtype != DType::kBF16 && dtype != DType::kF32) {
        throw UsageError("store '" + part.name + "' cannot hold dtype '" + *name + "'",
                         context.where, "use bf16 or f32");
    }
    return *dtype;
}

std::shared_ptr<const KeyStore> make_float_key_store(const CodecPart& part,
                                                     const StoreContext& context) {
    return std::make_shared<FloatKeyStore>(
        FloatTiles{float_store_dtype(part, context), context.dim}, context);
}

std::shared_ptr<const ValueStore> make_float_value_store(const CodecPart& part,
                                                         const StoreContext& context) {
    return std::make_shared<FloatValueStore>(
        FloatTiles{float_store_dtype(part, context), context.dim});
}

}  // namespace lowkey
