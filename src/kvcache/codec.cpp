#include "kvcache/codec.h"

#include <algorithm>
#include <vector>

#include "base/error.h"
#include "kvcache/linear_map.h"

namespace lowkey {
namespace {

/// Rows [rows, units] times the units, if there are any.
void multiply(float* x, int64_t rows, std::span<const float> units) {
    for (int64_t r = 0; r < rows && !units.empty(); ++r) {
        for (const float unit : units) *x++ *= unit;
    }
}

/// Keys as they meet queries, projected or not.
class PlainKeyCodec final : public KeyCodec {
public:
    PlainKeyCodec(std::shared_ptr<const LinearMap> map, std::shared_ptr<const KeyStore> store,
                  CodecPart store_part)
        : map_(std::move(map)), store_(std::move(store)) {
        if (map_ == nullptr) return;
        query_product_.emplace(map_->decode_rows().data(), map_->dim(), map_->rank());
        if (!map_->has_mean())
            maps_ = {map_->encode(), map_->decode(), CodecSpec{.store = std::move(store_part)}};
    }

    [[nodiscard]] int64_t tile_bytes() const override { return store_->tile_bytes(); }
    [[nodiscard]] std::optional<LinearMaps> linear_maps() const override { return maps_; }

    void encode(const float* keys, int64_t stride, int64_t num_tokens, std::byte* tiles,
                int64_t first_slot, const SlotPositions&) const override {
        if (map_ == nullptr) {
            store_->write(keys, stride, num_tokens, tiles, first_slot);
            return;
        }
        std::vector<float> coords(static_cast<size_t>(num_tokens * map_->rank()));
        map_->to_coords(keys, stride, num_tokens, coords.data());
        store_->write(coords.data(), map_->rank(), num_tokens, tiles, first_slot);
    }
    void decode(const std::byte* tiles, int64_t slot, const SlotPositions&,
                float* key) const override {
        if (map_ == nullptr) {
            store_->read(tiles, slot, key);
            return;
        }
        std::vector<float> coords(static_cast<size_t>(map_->rank()));
        store_->read(tiles, slot, coords.data());
        map_->from_coords(coords.data(), key);
    }
    void copy(const std::byte* from, int64_t from_slot, std::byte* to,
              int64_t to_slot) const override {
        store_->copy(from, from_slot, to, to_slot);
    }

    [[nodiscard]] int64_t query_bytes() const override { return store_->query_bytes(); }
    void prepare_queries(const float* q, int64_t rows, std::byte* prepared) const override {
        if (map_ == nullptr) {
            if (store_->units().empty()) {
                store_->prepare(0, q, store_->dim(), nullptr, rows, prepared);
                return;
            }
            std::vector<float> scaled(q, q + rows * store_->dim());
            multiply(scaled.data(), rows, store_->units());
            store_->prepare(0, scaled.data(), store_->dim(), nullptr, rows, prepared);
            return;
        }
        // q · k' = q · (c decode + mean) = (q decodeᵀ) · c + q · mean
        std::vector<float> coords(static_cast<size_t>(rows * (map_->rank() + 1)), 0.0f);
        query_product_->add(q, rows, coords.data());
        float* bias = nullptr;
        if (map_->has_mean()) {
            bias = coords.data() + rows * map_->rank();
            for (int64_t r = 0; r < rows; ++r) {
                for (int64_t i = 0; i < map_->dim(); ++i)
                    bias[r] += q[r * map_->dim() + i] * map_->mean()[static_cast<size_t>(i)];
            }
        }
        multiply(coords.data(), rows, store_->units());
        store_->prepare(0, coords.data(), map_->rank(), bias, rows, prepared);
    }
    void score(const std::byte* prepared, int64_t rows, Tiles tiles, const SlotPositions&,
               float* out, int64_t out_stride, Scratch&) const override {
        store_->score(prepared, rows, tiles, out, out_stride);
    }

private:
    std::shared_ptr<const LinearMap> map_;  // null: identity
    std::shared_ptr<const KeyStore> store_;
    std::optional<RowProduct> query_product_;  // with decodeᵀ
    std::optional<LinearMaps> maps_;
};

class MappedValueCodec final : public ValueCodec {
public:
    MappedValueCodec(std::shared_ptr<const LinearMap> map, std::shared_ptr<const ValueStore> store,
                     CodecPart store_part)
        : map_(std::move(map)), store_(std::move(store)) {
        if (map_ != nullptr && !map_->has_mean())
            maps_ = {map_->encode(), map_->decode(), CodecSpec{.store = std::move(store_part)}};
    }

    [[nodiscard]] int64_t tile_bytes() const override { return store_->tile_bytes(); }
    [[nodiscard]] std::optional<LinearMaps> linear_maps() const override { return maps_; }

    void encode(const float* values, int64_t stride, int64_t num_tokens, std::byte* tiles,
                int64_t first_slot) const override {
        if (map_ == nullptr) {
            store_->write(values, stride, num_tokens, tiles, first_slot);
            return;
        }
        std::vector<float> coords(static_cast<size_t>(num_tokens * map_->rank()));
        map_->to_coords(values, stride, num_tokens, coords.data());
        store_->write(coords.data(), map_->rank(), num_tokens, tiles, first_slot);
    }
    void decode(const std::byte* tiles, int64_t slot, float* value) const override {
        if (map_ == nullptr) {
            store_->read(tiles, slot, value);
            return;
        }
        std::vector<float> coords(static_cast<size_t>(map_->rank()));
        store_->read(tiles, slot, coords.data());
        map_->from_coords(coords.data(), value);
    }
    void copy(const std::byte* from, int64_t from_slot, std::byte* to,
              int64_t to_slot) const override {
        store_->copy(from, from_slot, to, to_slot);
    }

    [[nodiscard]] int64_t sum_dim() const override { return store_->sum_dim(); }
    void accumulate(const float* p, int64_t p_stride, int64_t rows, Tiles tiles,
                    float* acc) const override {
        store_->accumulate(p, p_stride, rows, tiles, acc);
    }
    void finish(float* acc, const float* weights, int64_t rows, float* out) const override {
        store_->finish(acc, rows);
        if (map_ != nullptr) {
            map_->add_decoded(acc, weights, rows, out);
            return;
        }
        for (int64_t i = 0; i < rows * store_->dim(); ++i) out[i] += acc[i];
    }

private:
    std::shared_ptr<const LinearMap> map_;  // null: identity
    std::shared_ptr<const ValueStore> store_;
    std::optional<LinearMaps> maps_;
};

// Which maps there are, and what they may have.
enum class MapKind { kIdentity, kLinear };

MapKind find_map(const CodecPart& map, bool key, const std::string& where) {
    if (map.name == "identity") {
        check_part(map, "map", {}, {}, where);
        return MapKind::kIdentity;
    }
    if (map.name != "linear")
        throw UnsupportedError("unknown map '" + map.name + "'", where,
                               "known are identity, linear");
    std::vector<std::string> settings;
    if (key) {
        settings = {"space"};
        if (string_setting(map.settings, "space", where) == "in_block") {
            for (const char* name : {"fast_planes", "fast_span", "fast_coordinates", "slow_span"})
                settings.emplace_back(name);
        }
    }
    check_part(map, "map", settings, {"encode", "decode", "mean"}, where);
    return MapKind::kLinear;
}

}  // namespace

std::shared_ptr<const KeyCodec> make_key_codec(const CodecSpec& spec, const CodecContext& context) {
    StoreContext store{context.dim, context.dtype, {}, context.where};
    if (find_map(spec.map, true, context.where) == MapKind::kIdentity)
        return std::make_shared<PlainKeyCodec>(nullptr, make_key_store(spec.store, store),
                                               spec.store);
    const std::string space =
        string_setting(spec.map.settings, "space", context.where).value_or("after_rotation");
    if (space != "after_rotation" && space != "before_rotation" && space != "in_block") {
        throw UsageError("map 'linear' in space '" + space + "'", context.where,
                         "use after_rotation, before_rotation or in_block");
    }
    if (space != "after_rotation" && context.rotary != nullptr &&
        context.rotary->depends_on_length()) {
        // Each key would have to remember how long the sequence was when it came.
        throw UnsupportedError(
            "map 'linear' " + space +
                " cannot rotate keys whose rotary frequencies depend on the "
                "length of the sequence",
            context.where,
            "use a basis after rotation, or --max-context within the original context");
    }
    // Without rotary positions there is no rotation to come before, and nothing to rebuild.
    if (context.rotary != nullptr && space == "before_rotation")
        return make_rebuilt_key_codec(spec, context);
    if (context.rotary != nullptr && space == "in_block")
        return make_block_key_codec(spec, context);
    auto map = std::make_shared<const LinearMap>(spec.map, context.dim, context.where);
    store.dim = map->rank();
    return std::make_shared<PlainKeyCodec>(std::move(map), make_key_store(spec.store, store),
                                           spec.store);
}

std::shared_ptr<const ValueCodec> make_value_codec(const CodecSpec& spec,
                                                   const CodecContext& context) {
    StoreContext store{context.dim, context.dtype, {}, context.where};
    std::shared_ptr<const LinearMap> map;
    if (find_map(spec.map, false, context.where) == MapKind::kLinear) {
        map = std::make_shared<const LinearMap>(spec.map, context.dim, context.where);
        store.dim = map->rank();
    }
    return std::make_shared<MappedValueCodec>(std::move(map), make_value_store(spec.store, store),
                                              spec.store);
}

}  // namespace lowkey
