#include "tensor/tensor.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <new>

#include "base/parallel.h"

namespace lowkey {
namespace {

constexpr size_t kAlignment = 64;
constexpr size_t kHugePage = size_t{2} << 20;
constexpr int64_t kConvertBlock = 1 << 16;

/// Stands before every tensor's data: how that is given back.
struct alignas(kAlignment) Origin {
    void* mapping = nullptr;  ///< null: from malloc
    size_t mapped_bytes = 0;
};
static_assert(sizeof(Origin) == kAlignment);

// Sanitizers see the ends of what malloc gives, not those of mappings.
#ifdef LOWKEY_ADDRESS_SANITIZER
constexpr bool kMapsLarge = false;
#else
constexpr bool kMapsLarge = true;
#endif

std::byte* allocate(size_t bytes) {
    const size_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
    void* memory = std::aligned_alloc(kAlignment, sizeof(Origin) + rounded);
    if (memory == nullptr) throw std::bad_alloc();
    new (memory) Origin{};
    return static_cast<std::byte*>(memory) + sizeof(Origin);
}

/// Pages of the tensor's own, huge ones where the system has them. They go back to it with the
/// tensor, where malloc would keep what a long prompt took for a while.
std::byte* map(size_t bytes) {
    const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    const size_t whole = (bytes + page - 1) / page * page;
    const size_t asked = page + kHugePage + whole;
    void* memory = mmap(nullptr, asked, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    // The data begins with a huge page, after a small one for its origin. The rest goes: what is
    // mapped beside could become huge pages, too.
    auto* begin = static_cast<std::byte*>(memory);
    const size_t skipped = kHugePage - (reinterpret_cast<uintptr_t>(begin) + page) % kHugePage;
    munmap(begin, skipped);
    begin += skipped;
    if (const size_t rest = kHugePage - skipped; rest > 0) munmap(begin + page + whole, rest);
    std::byte* data = begin + page;
    new (data - sizeof(Origin)) Origin{begin, page + whole};
#ifdef MADV_HUGEPAGE
    // Weights are read from end to end for every token: with small pages, finding the pages would
    // cost as much. The rest after the last whole one stays in small pages, to hold no more than
    // asked.
    madvise(data, bytes / kHugePage * kHugePage, MADV_HUGEPAGE);
#endif
    return data;
}

void give_back(std::byte* data) {
    std::byte* memory = data - sizeof(Origin);
    const Origin origin = *std::launder(reinterpret_cast<Origin*>(memory));
    if (origin.mapping != nullptr) {
        munmap(origin.mapping, origin.mapped_bytes);
    } else {
        std::free(memory);
    }
}

void convert_range(const TensorView& from, int64_t begin, int64_t end, float* to) {
    for (int64_t i = begin; i < end; ++i) {
        float x = 0;
        switch (from.dtype) {
            case DType::kF64: {
                double wide = 0;
                std::memcpy(&wide, from.data + i * 8, 8);
                x = static_cast<float>(wide);
                break;
            }
            case DType::kF32:
                std::memcpy(&x, from.data + i * 4, 4);
                break;
            case DType::kF16: {
                uint16_t bits = 0;
                std::memcpy(&bits, from.data + i * 2, 2);
                x = f16_to_f32(bits);
                break;
            }
            case DType::kBF16: {
                BF16 half{};
                std::memcpy(&half, from.data + i * 2, 2);
                x = to_f32(half);
                break;
            }
            default:
                LOWKEY_CHECK(false && "conversion of integers");
        }
        to[i - begin] = x;
    }
}

}  // namespace

int64_t num_elements(const Shape& shape) {
    int64_t n = 1;
    for (const int64_t s : shape) n *= s;
    return n;
}

std::string to_string(const Shape& shape) {
    std::string text = "[";
    for (size_t i = 0; i < shape.size(); ++i)
        text += (i > 0 ? ", " : "") + std::to_string(shape[i]);
    return text + "]";
}

void Tensor::Free::operator()(std::byte* p) const { give_back(p); }

Tensor::Tensor(DType dtype, Shape shape)
    : dtype_(dtype), shape_(std::move(shape)), size_(num_elements(shape_)) {
    const auto bytes = static_cast<size_t>(size_ * dtype_bytes(dtype_));
    data_.reset(kMapsLarge && bytes >= kHugePage ? map(bytes) : allocate(bytes));
}

Tensor Tensor::zeros(DType dtype, Shape shape) {
    Tensor t(dtype, std::move(shape));
    std::memset(t.data(), 0, static_cast<size_t>(t.bytes()));
    return t;
}

Tensor Tensor::convert(const TensorView& view, DType dtype) {
    LOWKEY_CHECK(dtype == DType::kF32 || dtype == DType::kBF16);
    Tensor out(dtype, view.shape);
    const int64_t n = view.size();
    if (view.dtype == dtype) {
        std::memcpy(out.data(), view.data, static_cast<size_t>(view.bytes()));
        return out;
    }
    parallel_for((n + kConvertBlock - 1) / kConvertBlock, [&](int64_t block) {
        const int64_t begin = block * kConvertBlock;
        const int64_t end = begin + kConvertBlock < n ? begin + kConvertBlock : n;
        if (dtype == DType::kF32) {
            convert_range(view, begin, end, out.f32().data() + begin);
            return;
        }
        std::vector<float> wide(static_cast<size_t>(end - begin));
        convert_range(view, begin, end, wide.data());
        for (int64_t i = begin; i < end; ++i) {
            out.as<BF16>()[static_cast<size_t>(i)] = to_bf16(wide[static_cast<size_t>(i - begin)]);
        }
    });
    return out;
}

std::vector<float> to_f32(const TensorView& view) {
    std::vector<float> out(static_cast<size_t>(view.size()));
    convert_range(view, 0, view.size(), out.data());
    return out;
}

}  // namespace lowkey
