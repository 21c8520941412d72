#include <algorithm>
#include <array>
#include <cmath>
#include <utility>
#include <vector>

#include "base/error.h"
#include "kernels/coded.h"
#include "kvcache/spec_settings.h"
#include "kvcache/stores.h"

namespace lowkey {
namespace {

constexpr int64_t kMaxCoords = 4096;

/// Coordinate j of a token is scale · step_j · level: runs of 8 coordinates have codes of one
/// width, each coordinate has a step, and each token a scale if the store has such.
class CodedCoords {
public:
    CodedCoords(const CodecPart& part, const StoreContext& context) : dim_(context.dim) {
        SpecSettings settings("store 'coded'", part.settings, context.where);
        const auto scale = settings.number("token_scale", 1e-3, 1e3);
        scaled_ = scale.has_value();
        scale_factor_ = scale.value_or(1.0);
        settings.finish();
        const auto fail = [&](const std::string& what) {
            throw UsageError("store 'coded' " + what, context.where,
                             "the plan is damaged: make it again");
        };
        if (dim_ % kRunCoords != 0 || dim_ > kMaxCoords)
            fail("of " + std::to_string(dim_) + " coordinates, which are no runs of " +
                 std::to_string(kRunCoords));
        const int64_t runs = dim_ / kRunCoords;
        const auto widths = part_tensor(part, "widths", {1, runs}, context.where);
        for (const float width : widths->f32()) {
            if (!(width >= 1 && width <= kMaxWidth) || width != std::floor(width))
                fail("with a width that is not 1 to " + std::to_string(kMaxWidth) + " bits");
            widths_.push_back(static_cast<uint8_t>(width));
        }
        const auto steps = part_tensor(part, "steps", {1, dim_}, context.where);
        for (const float step : steps->f32()) {
            if (!(step > 0) || !std::isfinite(step) || !std::isfinite(1 / step))
                fail("with a step that is not above 0");
            steps_.push_back(step);
            per_step_.push_back(1 / step);
        }
        for (int64_t band = 0; band < context.num_bands(); ++band) {
            if (context.band_end(band) % kRunCoords != 0) fail("with a run in two bands");
            split(context.band_end(band) / kRunCoords);
        }
        for (int64_t i = 0; i < dim_; ++i) per_sigma_.push_back(1 / coded_sigma(width_of(i)));
    }

    [[nodiscard]] int64_t dim() const { return dim_; }
    [[nodiscard]] const std::vector<float>& steps() const { return steps_; }
    [[nodiscard]] CodedShape shape() const {
        return {widths_.data(), static_cast<int64_t>(widths_.size()), band_ends_.data(),
                static_cast<int64_t>(band_ends_.size()), scaled_};
    }

    /// The parts of a band, as bands of the shape: [first, end).
    [[nodiscard]] std::pair<int64_t, int64_t> parts_of(int64_t band) const {
        return {band == 0 ? 0 : part_ends_[static_cast<size_t>(band) - 1],
                part_ends_[static_cast<size_t>(band)]};
    }

    /// The codes of coordinates, and the nibble of their scale.
    int encode(const float* coords, std::vector<float>& levels, uint8_t* codes) const {
        levels.resize(static_cast<size_t>(dim_));
        double squares = 0;
        for (int64_t i = 0; i < dim_; ++i) {
            const auto at = static_cast<size_t>(i);
            levels[at] = coords[i] * per_step_[at];
            const double relative = static_cast<double>(levels[at]) * per_sigma_[at];
            squares += relative * relative;
        }
        int nibble = 0;
        if (scaled_) {
            const double length = std::sqrt(squares / static_cast<double>(dim_));
            nibble = coded_nearest_scale(static_cast<float>(scale_factor_ * length));
            const float per_scale = 1 / coded_scale(nibble);
            for (float& level : levels) level *= per_scale;
        }
        encode_coords(shape(), levels.data(), codes);
        return nibble;
    }
    void decode(const uint8_t* codes, int nibble, float* coords) const {
        decode_coords(shape(), codes, coords);
        const float scale = scaled_ ? coded_scale(nibble) : 1.0f;
        for (int64_t i = 0; i < dim_; ++i) coords[i] *= scale * steps_[static_cast<size_t>(i)];
    }

private:
    /// Ends a band. Even levels are finer than the others', and the weights that meet them larger:
    /// in parts of their own they do not take the others' precision where weights are rounded.
    void split(int64_t end_run) {
        constexpr uint8_t kFirstEven = 6;
        const int64_t begin = band_ends_.empty() ? 0 : band_ends_.back();
        for (int64_t run = begin + 1; run < end_run; ++run) {
            const auto at = static_cast<size_t>(run);
            if ((widths_[at] >= kFirstEven) != (widths_[at - 1] >= kFirstEven))
                band_ends_.push_back(run);
        }
        band_ends_.push_back(end_run);
        part_ends_.push_back(static_cast<int64_t>(band_ends_.size()));
    }

    [[nodiscard]] int width_of(int64_t coord) const {
        return widths_[static_cast<size_t>(coord / kRunCoords)];
    }

    int64_t dim_;
    bool scaled_ = false;
    double scale_factor_ = 1;
    std::vector<uint8_t> widths_;
    std::vector<int64_t> band_ends_;  // of all parts, in runs
    std::vector<int64_t> part_ends_;  // of each band's, in parts
    std::vector<float> steps_;
    std::vector<float> per_step_;
    std::vector<float> per_sigma_;  // 1 / that of the coordinate's levels
};

using WriteToken = void (*)(const CodedShape&, const uint8_t*, int, std::byte*, int);
using ReadToken = int (*)(const CodedShape&, const std::byte*, int, uint8_t*);

/// Tiles of codes, for keys or values by how a token lies in them.
template <typename Store, WriteToken write_token, ReadToken read_token>
class CodedTiles : public Store {
public:
    CodedTiles(const CodecPart& part, const StoreContext& context) : coords_(part, context) {}

    [[nodiscard]] int64_t dim() const override { return coords_.dim(); }
    [[nodiscard]] int64_t tile_bytes() const override { return coords_.shape().tile_bytes(); }
    void write(const float* coords, int64_t stride, int64_t num_tokens, std::byte* tiles,
               int64_t first_slot) const override {
        std::vector<float> levels;
        std::vector<uint8_t> codes(static_cast<size_t>(dim()));
        for (int64_t t = 0; t < num_tokens; ++t) {
            const int nibble = coords_.encode(coords + t * stride, levels, codes.data());
            const int64_t slot = first_slot + t;
            write_token(coords_.shape(), codes.data(), nibble, tiles + tile_of(slot),
                        static_cast<int>(slot % kTileTokens));
        }
    }
    void read(const std::byte* tiles, int64_t slot, float* coords) const override {
        std::vector<uint8_t> codes(static_cast<size_t>(dim()));
        const int nibble = read_token(coords_.shape(), tiles + tile_of(slot),
                                      static_cast<int>(slot % kTileTokens), codes.data());
        coords_.decode(codes.data(), nibble, coords);
    }
    void copy(const std::byte* from, int64_t from_slot, std::byte* to,
              int64_t to_slot) const override {
        // Slots move when a step is committed, which cannot fail: nothing is allocated.
        std::array<uint8_t, kMaxCoords> codes{};
        const int nibble = read_token(coords_.shape(), from + tile_of(from_slot),
                                      static_cast<int>(from_slot % kTileTokens), codes.data());
        write_token(coords_.shape(), codes.data(), nibble, to + tile_of(to_slot),
                    static_cast<int>(to_slot % kTileTokens));
    }

protected:
    [[nodiscard]] int64_t tile_of(int64_t slot) const {
        return slot / kTileTokens * coords_.shape().tile_bytes();
    }

    CodedCoords coords_;
};

class CodedKeyStore final : public CodedTiles<KeyStore, write_coded_key, read_coded_key> {
public:
    using CodedTiles::CodedTiles;

    [[nodiscard]] std::span<const float> units() const override { return coords_.steps(); }
    [[nodiscard]] int64_t query_bytes() const override {
        return kernels().coded_query_bytes(coords_.shape());
    }
    void prepare(int64_t band, const float* q, int64_t stride, const float* bias, int64_t rows,
                 std::byte* prepared) const override {
        const CodedShape shape = coords_.shape();
        const auto [first, end] = coords_.parts_of(band);
        const auto begin_of = [&](int64_t part) {
            return part == 0 ? 0 : shape.band_ends[part - 1] * kRunCoords;
        };
        for (int64_t part = first; part < end; ++part) {
            kernels().prepare_coded(shape, part, q + begin_of(part) - begin_of(first), stride,
                                    part == first ? bias : nullptr, rows, prepared);
        }
    }
    void score(const std::byte* prepared, int64_t rows, Tiles tiles, float* out,
               int64_t out_stride) const override {
        kernels().score_coded(coords_.shape(), prepared, rows, tiles, out, out_stride);
    }
};

class CodedValueStore final : public CodedTiles<ValueStore, write_coded_value, read_coded_value> {
public:
    using CodedTiles::CodedTiles;

    [[nodiscard]] int64_t sum_dim() const override { return dim(); }
    void accumulate(const float* p, int64_t p_stride, int64_t rows, Tiles tiles,
                    float* acc) const override {
        kernels().sum_coded(coords_.shape(), p, p_stride, rows, tiles, acc, dim());
    }
    void finish(float* acc, int64_t rows) const override {
        for (int64_t r = 0; r < rows; ++r) {
            for (int64_t i = 0; i < dim(); ++i)
                acc[r * dim() + i] *= coords_.steps()[static_cast<size_t>(i)];
        }
    }
};

}  // namespace

std::shared_ptr<const KeyStore> make_coded_key_store(const CodecPart& part,
                                                     const StoreContext& context) {
    return std::make_shared<CodedKeyStore>(part, context);
}

std::shared_ptr<const ValueStore> make_coded_value_store(const CodecPart& part,
                                                         const StoreContext& context) {
    return std::make_shared<CodedValueStore>(part, context);
}

}  // namespace lowkey
