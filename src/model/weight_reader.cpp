#include "model/weight_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cfloat>
#include <cstring>
#include <span>

#include "base/error.h"
#include "base/hash.h"
#include "base/parallel.h"
#include "io/fingerprint.h"
#include "io/quantization.h"

namespace lowkey {
namespace {

// Bytes that are hashed and then looked through while they are in the cache. Part of what
// fingerprints are (io/fingerprint.h): another size is another version.
constexpr int64_t kChunkBytes = int64_t{256} << 10;

// Kinds of tensors that a warning names.
constexpr size_t kNamedKinds = 4;

/// The first bits, without sign, of numbers that are not finite.
template <typename Bits>
Bits first_infinite(DType from, DType to) {
    // f32 numbers that round to infinity in bf16.
    if (from == DType::kF32 && to == DType::kBF16) return static_cast<Bits>(0x7f7f8000);
    if (from == DType::kF32) return static_cast<Bits>(0x7f800000);
    return static_cast<Bits>(from == DType::kBF16 ? 0x7f80 : 0x7c00);
}

template <typename Bits>
bool all_below(std::span<const Bits> bits, Bits limit) {
    constexpr auto kWithoutSign = static_cast<Bits>(~(Bits{1} << (8 * sizeof(Bits) - 1)));
    Bits beyond = 0;
    for (const Bits x : bits) beyond |= static_cast<Bits>((x & kWithoutSign) >= limit ? 1 : 0);
    return beyond == 0;
}

template <typename Bits>
std::span<const Bits> bits_of(std::span<const std::byte> bytes) {
    return {reinterpret_cast<const Bits*>(bytes.data()), bytes.size() / sizeof(Bits)};
}

/// Whether all elements of `bytes`, stored as `from`, are finite and stay so in `to`.
bool is_finite(std::span<const std::byte> bytes, DType from, DType to) {
    if (from == DType::kF32) {
        return all_below(bits_of<int32_t>(bytes), first_infinite<int32_t>(from, to));
    }
    if (from == DType::kF64) {
        const auto numbers = bits_of<double>(bytes);
        // Converted to f32 on the way.
        return std::all_of(numbers.begin(), numbers.end(),
                           [](double x) { return x >= -FLT_MAX && x <= FLT_MAX; });
    }
    return all_below(bits_of<int16_t>(bytes), first_infinite<int16_t>(from, to));
}

/// "[3, 17]" of an element.
std::string place_of(int64_t element, const Shape& shape) {
    Shape place(shape.size());
    for (size_t i = shape.size(); i-- > 0; element /= shape[i]) place[i] = element % shape[i];
    return to_string(place);
}

[[noreturn]] void refuse_infinite(const std::string& name, const TensorView& view, int64_t chunk,
                                  DType to, const std::string& where) {
    const int64_t size = dtype_bytes(view.dtype);
    int64_t element = chunk * kChunkBytes / size;
    while (is_finite({view.data + element * size, static_cast<size_t>(size)}, view.dtype, to))
        ++element;
    throw FileError(
        fmt::format("tensor '{}' is not finite at {}", name, place_of(element, view.shape)), where,
        "the weights are damaged or were never right: get the model again");
}

/// "model.layers.{}.mlp.up_proj.bias" of a name with a number.
std::string kind_of(const std::string& name) {
    std::string kind;
    for (size_t begin = 0; begin <= name.size();) {
        const size_t end = std::min(name.find('.', begin), name.size());
        const std::string part = name.substr(begin, end - begin);
        const bool is_number =
            !part.empty() && part.find_first_not_of("0123456789") == std::string::npos;
        kind += (begin == 0 ? "" : ".") + (is_number ? std::string("{}") : part);
        begin = end + 1;
    }
    return kind;
}

/// Tables that older versions of transformers stored, and which follow from config.json.
bool is_derived(const std::string& name) { return name.ends_with(".rotary_emb.inv_freq"); }

}  // namespace

WeightReader::WeightReader(const Checkpoint& checkpoint, DType dtype)
    : checkpoint_(checkpoint), dtype_(dtype) {
    if (checkpoint.is_stored()) quantization_ = quantization_of(checkpoint);
}

TensorView WeightReader::read(const std::string& name, const Shape& shape) {
    seen_.insert(name);
    if (!quantization_.empty()) {
        const std::string dtype = checkpoint_.stored_dtype(name);
        if (dtype != "BF16" && dtype != "F16" && dtype != "F32" && dtype != "F64") {
            throw UnsupportedError(
                "the checkpoint is quantized (" + quantization_ + "), which lowkey cannot read",
                fmt::format("{} ({} '{}')", checkpoint_.directory(),
                            dtype.empty() ? "no tensor" : dtype + " in", name),
                "use the model in bf16, f16 or f32");
        }
    }
    TensorView view = checkpoint_.tensor(name, shape);
    if (!checkpoint_.is_stored() || hashes_.contains(name)) return view;
    const int64_t bytes = view.bytes();
    const int64_t chunks = (bytes + kChunkBytes - 1) / kChunkBytes;
    std::vector<std::string> hashes(static_cast<size_t>(chunks));
    std::atomic<int64_t> first_bad = chunks;
    parallel_for_balanced(chunks, [&](int64_t chunk, int) {
        const int64_t begin = chunk * kChunkBytes;
        const std::span part(view.data + begin,
                             static_cast<size_t>(std::min(kChunkBytes, bytes - begin)));
        Hasher hasher;
        hasher.add(part);
        hashes[static_cast<size_t>(chunk)] = hasher.hex();
        if (is_finite(part, view.dtype, dtype_)) return;
        int64_t lowest = first_bad;
        while (chunk < lowest && !first_bad.compare_exchange_weak(lowest, chunk)) {
        }
    });
    if (first_bad < chunks) refuse_infinite(name, view, first_bad, dtype_, checkpoint_.directory());
    Hasher hasher;
    hasher.add(std::string(dtype_name(view.dtype)) + to_string(view.shape));
    for (const std::string& hash : hashes) hasher.add(hash);
    hashes_[name] = hasher.hex();
    return view;
}

Tensor WeightReader::make(const std::string& name, const Shape& shape) {
    seen_.insert(name);
    return checkpoint_.make_tensor(name, shape);
}

std::string WeightReader::fingerprint() const {
    if (!checkpoint_.is_stored()) return checkpoint_.fingerprint();
    Hasher hasher;
    for (const auto& [name, hash] : hashes_)
        hasher.add(std::to_string(name.size()) + " " + name + " " + hash);
    return whole_fingerprint(checkpoint_.fingerprint(), hasher.hex());
}

std::vector<std::string> WeightReader::warnings(const std::vector<std::string>& other_parts) const {
    std::vector<std::string> warnings = checkpoint_.warnings();
    if (!quantization_.empty()) {
        warnings.push_back("the files say that the weights are quantized (" + quantization_ +
                           "), but hold them unquantized; they are used as they are stored");
    }
    std::map<std::string, int64_t> unread;
    int64_t count = 0;
    for (const std::string& name : checkpoint_.names()) {
        const bool is_elsewhere =
            std::any_of(other_parts.begin(), other_parts.end(),
                        [&](const std::string& part) { return name.starts_with(part); });
        if (seen_.contains(name) || is_elsewhere || is_derived(name)) continue;
        ++unread[kind_of(name)];
        ++count;
    }
    if (count == 0) return warnings;
    std::string text = fmt::format(
        "{} of the checkpoint's tensors {} not used, for config.json "
        "asks for no such: ",
        count, count == 1 ? "is" : "are");
    size_t named = 0;
    for (const auto& [kind, number] : unread) {
        if (named == kNamedKinds) {
            text += fmt::format(" and {} more kinds", unread.size() - named);
            break;
        }
        text += (named == 0 ? "" : ", ") + kind;
        if (number > 1) text += fmt::format(" ({})", number);
        ++named;
    }
    warnings.push_back(text);
    return warnings;
}

}  // namespace lowkey
