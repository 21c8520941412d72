#include "kvcache/dense_codec.h"

#include <cstring>

#include "kvcache/tile.h"

namespace lowkey {
namespace {

class DenseKeyCodec final : public KeyCodec {
public:
    explicit DenseKeyCodec(FloatTiles tiles) : tiles_(tiles) {}

    [[nodiscard]] int64_t tile_bytes() const override { return tiles_.tile_bytes(); }
    [[nodiscard]] int64_t query_dim() const override { return tiles_.dim; }

    void encode(const float* keys, int64_t stride, int64_t num_tokens, std::byte* tiles,
                int64_t first_slot) const override {
        for (int64_t t = 0; t < num_tokens; ++t)
            tiles_.write_key(keys + t * stride, tiles, first_slot + t);
    }
    void decode(const std::byte* tiles, int64_t slot, float* key) const override {
        tiles_.read_key(tiles, slot, key);
    }
    void copy(const std::byte* from, int64_t from_slot, std::byte* to,
              int64_t to_slot) const override {
        tiles_.copy_key(from, from_slot, to, to_slot);
    }

    void prepare_queries(const float* q, int64_t rows, float* prepared) const override {
        std::memcpy(prepared, q, static_cast<size_t>(rows * tiles_.dim) * sizeof(float));
    }
    void score(const float* prepared, int64_t rows, Tiles tiles, const int32_t*, float* out,
               int64_t out_stride, Scratch&) const override {
        tiles_.score(prepared, rows, tiles, out, out_stride);
    }

private:
    FloatTiles tiles_;
};

class DenseValueCodec final : public ValueCodec {
public:
    explicit DenseValueCodec(FloatTiles tiles) : tiles_(tiles) {}

    [[nodiscard]] int64_t tile_bytes() const override { return tiles_.tile_bytes(); }
    [[nodiscard]] int64_t sum_dim() const override { return tiles_.dim; }

    void encode(const float* values, int64_t stride, int64_t num_tokens, std::byte* tiles,
                int64_t first_slot) const override {
        for (int64_t t = 0; t < num_tokens; ++t)
            tiles_.write_value(values + t * stride, tiles, first_slot + t);
    }
    void decode(const std::byte* tiles, int64_t slot, float* value) const override {
        tiles_.read_value(tiles, slot, value);
    }
    void copy(const std::byte* from, int64_t from_slot, std::byte* to,
              int64_t to_slot) const override {
        tiles_.copy_value(from, from_slot, to, to_slot);
    }

    void accumulate(const float* p, int64_t p_stride, int64_t rows, Tiles tiles,
                    float* acc) const override {
        tiles_.sum(p, p_stride, rows, tiles, acc);
    }
    void finish(const float* acc, int64_t rows, float* out, Scratch&) const override {
        for (int64_t i = 0; i < rows * tiles_.dim; ++i) out[i] += acc[i];
    }

private:
    FloatTiles tiles_;
};

}  // namespace

std::shared_ptr<const KeyCodec> make_dense_key_codec(const CodecSpec& spec,
                                                     const CodecContext& context) {
    return std::make_shared<DenseKeyCodec>(FloatTiles{codec_dtype(spec, context), context.dim});
}

std::shared_ptr<const ValueCodec> make_dense_value_codec(const CodecSpec& spec,
                                                         const CodecContext& context) {
    return std::make_shared<DenseValueCodec>(FloatTiles{codec_dtype(spec, context), context.dim});
}

}  // namespace lowkey
