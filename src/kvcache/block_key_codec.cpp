#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <span>
#include <vector>

#include "base/error.h"
#include "kvcache/codec.h"
#include "kvcache/linear_map.h"
#include "kvcache/spec_settings.h"
#include "kvcache/tile.h"

namespace lowkey {
namespace {

constexpr int64_t kWidestSpan = 1 << 16;

/// Some numbers of a key that are turned together, and their part of the map.
struct Band {
    // Rotary planes [first_plane, end_plane); behind their numbers come `dims`' others, which do
    // not rotate.
    int64_t first_plane = 0;
    int64_t end_plane = 0;
    int64_t span = 0;           // tokens of a block
    std::vector<int64_t> dims;  // of a key: first numbers of all planes, second ones, the others
    int64_t first_coord = 0;
    int64_t num_coords = 0;
    std::vector<float> encode;  // [dims, coords]
    std::vector<float> mean;    // [dims], zeros behind those up to whole tiles
    std::vector<float> shift;   // mean · encode, [coords]
    // decodeᵀ [dims, coords] in the store's units, as tiles of values.
    std::vector<std::byte> query_tiles;
    std::vector<float> decode;  // [coords, dims]

    [[nodiscard]] int64_t size() const { return static_cast<int64_t>(dims.size()); }
    [[nodiscard]] int64_t planes() const { return end_plane - first_plane; }
    [[nodiscard]] int64_t padded_size() const {
        return (size() + kTileTokens - 1) / kTileTokens * kTileTokens;
    }
};

/// Coordinates of keys that are rotated by their position within a block: a key at position p in
/// the block that begins at a is x = R(p - a) k, and a query meets it as R(-a) q, which is the same
/// for all keys of a block.
class BlockKeyCodec final : public KeyCodec {
public:
    BlockKeyCodec(const CodecSpec& spec, const CodecContext& context)
        : dim_(context.dim), rotary_(context.rotary) {
        read_bands(spec, context);
        StoreContext store{num_coords_, context.dtype, {}, context.where};
        for (const Band& band : bands_) {
            store.band_ends.push_back(band.first_coord + band.num_coords);
            widest_ = std::max(widest_, band.num_coords);
            shortest_ = std::min(shortest_, band.span);
            encoders_.emplace_back(band.encode.data(), band.size(), band.num_coords);
        }
        store_ = make_key_store(spec.store, store);
        for (Band& band : bands_) write_query_tiles(band);
        unscale_ = 1 / static_cast<float>(rotary_->config().attention_factor);
    }

    [[nodiscard]] int64_t tile_bytes() const override { return store_->tile_bytes(); }
    [[nodiscard]] bool any_order() const override { return false; }

    void encode(const float* keys, int64_t stride, int64_t num_tokens, std::byte* tiles,
                int64_t first_slot, const SlotPositions& at) const override {
        std::vector<float> coords(static_cast<size_t>(num_tokens * num_coords_));
        std::vector<float> turned(static_cast<size_t>(dim_));
        std::vector<float> own(static_cast<size_t>(widest_));
        for (int64_t t = 0; t < num_tokens; ++t) {
            for (size_t b = 0; b < bands_.size(); ++b) {
                const Band& band = bands_[b];
                gather(band, keys + t * stride, turned.data());
                turn(band, anchor(band, at, at.first + t), -1, turned.data());
                for (int64_t i = 0; i < band.num_coords; ++i)
                    own[static_cast<size_t>(i)] = -band.shift[static_cast<size_t>(i)];
                encoders_[b].add(turned.data(), 1, own.data());
                std::copy_n(own.data(), band.num_coords,
                            coords.data() + t * num_coords_ + band.first_coord);
            }
        }
        store_->write(coords.data(), num_coords_, num_tokens, tiles, first_slot);
    }

    void decode(const std::byte* tiles, int64_t slot, const SlotPositions& at,
                float* key) const override {
        std::vector<float> coords(static_cast<size_t>(num_coords_));
        store_->read(tiles, slot, coords.data());
        for (const Band& band : bands_) {
            std::vector<float> x = band.mean;
            for (int64_t c = 0; c < band.num_coords; ++c) {
                for (int64_t i = 0; i < band.size(); ++i) {
                    x[static_cast<size_t>(i)] +=
                        coords[static_cast<size_t>(band.first_coord + c)] *
                        band.decode[static_cast<size_t>(c * band.size() + i)];
                }
            }
            turn(band, anchor(band, at, at.first), 1, x.data());
            for (int64_t i = 0; i < band.size(); ++i)
                key[band.dims[static_cast<size_t>(i)]] = x[static_cast<size_t>(i)];
        }
    }
    void copy(const std::byte* from, int64_t from_slot, std::byte* to,
              int64_t to_slot) const override {
        store_->copy(from, from_slot, to, to_slot);
    }

    // A prepared query is its numbers, band by band.
    [[nodiscard]] int64_t query_bytes() const override {
        return dim_ * static_cast<int64_t>(sizeof(float));
    }
    void prepare_queries(const float* q, int64_t rows, std::byte* prepared) const override {
        auto* to = reinterpret_cast<float*>(prepared);
        for (int64_t r = 0; r < rows; ++r) {
            for (const Band& band : bands_) {
                gather(band, q + r * dim_, to);
                to += band.size();
            }
        }
    }

    void score(const std::byte* prepared, int64_t rows, Tiles tiles, const SlotPositions& at,
               float* out, int64_t out_stride, Scratch& scratch) const override {
        const int64_t first_index = at.first - at.origin;
        const int64_t end_index = first_index + tiles.count * kTileTokens;
        // All blocks' queries at once: products of many rows are faster.
        std::vector<BlockQueries> blocks;
        int64_t product_floats = 0;
        int64_t turned_floats = 0;
        for (const Band& band : bands_) {
            BlockQueries& own = blocks.emplace_back();
            own.first = first_index / band.span;
            own.count = (end_index - 1) / band.span - own.first + 1;
            own.at = product_floats;
            product_floats += own.count * rows * (band.num_coords + 1);
            turned_floats = std::max(turned_floats, own.count * rows * band.padded_size());
        }
        auto* queries = reinterpret_cast<std::byte*>(
            scratch.floats(kCodecFirst, (rows * store_->query_bytes() + 3) / 4));
        float* turned = scratch.floats(kCodecSecond, turned_floats);
        float* products = scratch.floats(kCodecThird, product_floats);
        const auto* q = reinterpret_cast<const float*>(prepared);
        for (size_t b = 0; b < bands_.size(); q += bands_[b].size(), ++b)
            turn_blocks(bands_[b], blocks[b], at.origin, q, rows, turned, products + blocks[b].at);
        for (int64_t index = first_index; index < end_index;) {
            const int64_t next = std::min(end_index, (index / shortest_ + 1) * shortest_);
            for (size_t b = 0; b < bands_.size(); ++b) {
                const Band& band = bands_[b];
                if (index != first_index && index % band.span != 0) continue;
                const int64_t block = index / band.span - blocks[b].first;
                const float* product = products + blocks[b].at;
                const float* biases = product + blocks[b].count * rows * band.num_coords;
                store_->prepare(static_cast<int64_t>(b), product + block * rows * band.num_coords,
                                band.num_coords, biases + block * rows, rows, queries);
            }
            const int64_t begin = (index - first_index) / kTileTokens;
            const int64_t end = (next - first_index) / kTileTokens;
            store_->score(queries, rows, part(tiles, begin, end), out + begin * kTileTokens,
                          out_stride);
            index = next;
        }
    }

private:
    void read_bands(const CodecSpec& spec, const CodecContext& context) {
        const LinearMap whole(spec.map, dim_, context.where);
        SpecSettings settings("map 'linear'", spec.map.settings, context.where);
        static_cast<void>(settings.choice("space", {"in_block"}));
        const int64_t planes = rotary_->num_pairs();
        num_coords_ = whole.rank();
        const int64_t fast_planes = settings.integer("fast_planes", 0, 0, planes);
        const int64_t fast_coords = settings.integer("fast_coordinates", 0, 0, num_coords_);
        const int64_t slow_span = settings.integer("slow_span", 128, kTileTokens, kWidestSpan);
        const int64_t fast_span = settings.integer("fast_span", 16, kTileTokens, slow_span);
        for (const int64_t span : {fast_span, slow_span}) {
            if ((span & (span - 1)) == 0) continue;
            throw UsageError("a block of " + std::to_string(span) + " tokens", context.where,
                             "use powers of two from 16 on");
        }
        const int64_t slow_dims = dim_ - 2 * fast_planes;
        if (fast_coords > 2 * fast_planes || num_coords_ - fast_coords > slow_dims) {
            throw UsageError("map 'linear' has " + std::to_string(fast_coords) +
                                 " coordinates of " + std::to_string(fast_planes) +
                                 " fast planes, and " + std::to_string(num_coords_ - fast_coords) +
                                 " of the others",
                             context.where, "make the plan again");
        }
        add_band(whole, 0, fast_planes, fast_span, 0, fast_coords, context);
        add_band(whole, fast_planes, planes, slow_span, fast_coords, num_coords_ - fast_coords,
                 context);
    }

    void add_band(const LinearMap& whole, int64_t first_plane, int64_t end_plane, int64_t span,
                  int64_t first_coord, int64_t num_coords, const CodecContext& context) {
        Band band;
        band.first_plane = first_plane;
        band.end_plane = end_plane;
        band.span = span;
        band.first_coord = first_coord;
        band.num_coords = num_coords;
        const int64_t planes = rotary_->num_pairs();
        for (int64_t j = first_plane; j < end_plane; ++j)
            band.dims.push_back(j * rotary_->pair_step());
        for (int64_t j = first_plane; j < end_plane; ++j)
            band.dims.push_back(j * rotary_->pair_step() + rotary_->pair_offset());
        if (end_plane == planes) {
            for (int64_t i = 2 * planes; i < dim_; ++i) band.dims.push_back(i);
        }
        if (band.dims.empty()) return;
        const auto encode = whole.encode()->f32();
        const auto decode = whole.decode()->f32();
        const int64_t rank = whole.rank();
        for (const int64_t i : band.dims) {
            const auto at = static_cast<size_t>(i * rank);
            for (int64_t c = 0; c < num_coords; ++c)
                band.encode.push_back(encode[at + static_cast<size_t>(first_coord + c)]);
            band.mean.push_back(whole.has_mean() ? whole.mean()[static_cast<size_t>(i)] : 0.0f);
            // A band's coordinates are of its own numbers alone.
            for (int64_t c = 0; c < rank; ++c) {
                const bool own = c >= first_coord && c < first_coord + num_coords;
                if (own || (encode[at + static_cast<size_t>(c)] == 0 &&
                            decode[static_cast<size_t>(c * whole.dim() + i)] == 0))
                    continue;
                throw UsageError("map 'linear' mixes fast and slow planes in one coordinate",
                                 context.where, "make the plan again");
            }
        }
        for (int64_t c = 0; c < num_coords; ++c) {
            for (const int64_t i : band.dims)
                band.decode.push_back(
                    decode[static_cast<size_t>((first_coord + c) * whole.dim() + i)]);
        }
        band.shift.assign(static_cast<size_t>(num_coords), 0.0f);
        RowProduct(band.encode.data(), band.size(), num_coords)
            .add(band.mean.data(), 1, band.shift.data());
        bands_.push_back(std::move(band));
    }

    /// Products with queries whose weights a store rounds to fewer bits anyway are of bf16, where
    /// that is fast.
    [[nodiscard]] DType query_dtype() const {
        return store_->units().empty() ? DType::kF32 : DType::kBF16;
    }

    void write_query_tiles(Band& band) const {
        band.mean.resize(static_cast<size_t>(band.padded_size()), 0.0f);
        if (band.num_coords == 0) return;
        const std::span<const float> units = store_->units();
        const FloatTiles tiles{query_dtype(), band.num_coords};
        band.query_tiles.resize(
            static_cast<size_t>(band.padded_size() / kTileTokens * tiles.tile_bytes()));
        std::vector<float> row(static_cast<size_t>(band.num_coords));
        for (int64_t i = 0; i < band.size(); ++i) {
            for (int64_t c = 0; c < band.num_coords; ++c) {
                row[static_cast<size_t>(c)] =
                    band.decode[static_cast<size_t>(c * band.size() + i)] *
                    (units.empty() ? 1.0f : units[static_cast<size_t>(band.first_coord + c)]);
            }
            tiles.write_value(row.data(), band.query_tiles.data(), i);
        }
    }

    /// Position at which the block of a position begins.
    static int64_t anchor(const Band& band, const SlotPositions& at, int64_t position) {
        return at.origin + (position - at.origin) / band.span * band.span;
    }

    static void gather(const Band& band, const float* x, float* to) {
        for (const int64_t i : band.dims) *to++ = x[i];
    }

    /// Turns a band's numbers by +-`position`.
    void turn(const Band& band, int64_t position, float sign, float* x) const {
        const int64_t planes = band.planes();
        const float* cos = rotary_->cos(position) + band.first_plane;
        const float* sin = rotary_->sin(position) + band.first_plane;
        float* second = x + planes;
        for (int64_t j = 0; j < planes; ++j) {
            const float c = cos[j] * unscale_;
            const float s = sign * sin[j] * unscale_;
            const float a = x[j];
            const float b = second[j];
            x[j] = a * c - b * s;
            second[j] = b * c + a * s;
        }
    }

    /// The queries of some blocks of a band.
    struct BlockQueries {
        int64_t first = 0;  ///< block
        int64_t count = 0;
        int64_t at = 0;  ///< of their products, among all bands'
    };

    /// products: [blocks, rows, coords] in the store's units and, behind those, products with the
    /// mean [blocks, rows]. Rows of q are dim apart.
    void turn_blocks(const Band& band, const BlockQueries& blocks, int64_t origin, const float* q,
                     int64_t rows, float* turned, float* products) const {
        const int64_t size = band.padded_size();
        const int64_t width = band.num_coords;
        for (int64_t block = 0; block < blocks.count; ++block) {
            const int64_t position = origin + (blocks.first + block) * band.span;
            for (int64_t r = 0; r < rows; ++r) {
                float* to = turned + (block * rows + r) * size;
                std::copy_n(q + r * dim_, band.size(), to);
                std::fill(to + band.size(), to + size, 0.0f);
                turn(band, position, -1, to);
            }
        }
        const int64_t all_rows = blocks.count * rows;
        std::fill_n(products, all_rows * width, 0.0f);
        if (width > 0)
            FloatTiles{query_dtype(), width}.sum(
                turned, size, all_rows, {band.query_tiles.data(), size / kTileTokens}, products);
        float* biases = products + all_rows * width;
        for (int64_t r = 0; r < all_rows; ++r)
            biases[r] = dot(turned + r * size, band.mean.data(), size);
    }

    /// Of n numbers, a multiple of 16.
    static float dot(const float* x, const float* y, int64_t n) {
        std::array<float, kTileTokens> sums{};
        for (int64_t i = 0; i < n; i += kTileTokens) {
            for (size_t lane = 0; lane < sums.size(); ++lane)
                sums[lane] += x[i + static_cast<int64_t>(lane)] * y[i + static_cast<int64_t>(lane)];
        }
        return std::accumulate(sums.begin(), sums.end(), 0.0f);
    }

    /// Tiles [begin, end), and their share of what is read soon.
    [[nodiscard]] Tiles part(const Tiles& tiles, int64_t begin, int64_t end) const {
        const auto* data = static_cast<const std::byte*>(tiles.data);
        const auto* soon = static_cast<const std::byte*>(tiles.soon.data);
        const int64_t first = tiles.soon.bytes * begin / tiles.count;
        const int64_t last = tiles.soon.bytes * end / tiles.count;
        return {data + begin * tile_bytes(), end - begin, {soon + first, last - first}};
    }

    int64_t dim_;
    int64_t num_coords_ = 0;
    std::shared_ptr<const RotaryTable> rotary_;
    std::vector<Band> bands_;
    std::vector<RowProduct> encoders_;  // with Band::encode
    std::shared_ptr<const KeyStore> store_;
    int64_t widest_ = 0;              // coordinates of a band
    int64_t shortest_ = kWidestSpan;  // span
    float unscale_ = 1;               // what the table scales is not scaled twice
};

}  // namespace

std::shared_ptr<const KeyCodec> make_block_key_codec(const CodecSpec& spec,
                                                     const CodecContext& context) {
    return std::make_shared<BlockKeyCodec>(spec, context);
}

}  // namespace lowkey
