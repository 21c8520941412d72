#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "tensor/dtype.h"

namespace lowkey {

/// Sizes of a tensor's dimensions, outermost first.
using Shape = std::vector<int64_t>;

/// Product of the sizes; 1 for a scalar.
int64_t num_elements(const Shape& shape);
/// "[2, 64]"
std::string to_string(const Shape& shape);

/// Typed, shaped bytes that somebody else owns: dense, row-major. Passed by value; valid as long as
/// the owner.
struct TensorView {
    const std::byte* data = nullptr;
    DType dtype = DType::kF32;
    Shape shape;

    [[nodiscard]] int64_t size() const { return num_elements(shape); }
    [[nodiscard]] int64_t bytes() const { return size() * dtype_bytes(dtype); }
    [[nodiscard]] int64_t dim(size_t i) const { return shape.at(i); }
    /// The elements as T, whose size must be the dtype's. The data may be unaligned only for bytes
    /// that came from a file; io checks alignment before it hands out views.
    template <typename T>
    [[nodiscard]] std::span<const T> as() const {
        LOWKEY_CHECK(static_cast<int64_t>(sizeof(T)) == dtype_bytes(dtype));
        return {reinterpret_cast<const T*>(data), static_cast<size_t>(size())};
    }
};

/// A tensor that owns its memory, aligned to 64 bytes. Movable, not copyable (copies are asked for
/// by name).
class Tensor {
public:
    Tensor() = default;
    /// Uninitialized elements.
    Tensor(DType dtype, Shape shape);
    /// All bits zero.
    static Tensor zeros(DType dtype, Shape shape);
    /// A converted copy of `view`: any floating-point dtype to f32 or bf16 (round to nearest even).
    static Tensor convert(const TensorView& view, DType dtype);

    [[nodiscard]] DType dtype() const { return dtype_; }
    [[nodiscard]] const Shape& shape() const { return shape_; }
    [[nodiscard]] int64_t dim(size_t i) const { return shape_.at(i); }
    [[nodiscard]] int64_t size() const { return size_; }
    [[nodiscard]] int64_t bytes() const { return size_ * dtype_bytes(dtype_); }
    [[nodiscard]] bool empty() const { return data_ == nullptr; }
    [[nodiscard]] std::byte* data() { return data_.get(); }
    [[nodiscard]] const std::byte* data() const { return data_.get(); }
    [[nodiscard]] TensorView view() const { return {data_.get(), dtype_, shape_}; }

    template <typename T>
    [[nodiscard]] std::span<T> as() {
        LOWKEY_CHECK(static_cast<int64_t>(sizeof(T)) == dtype_bytes(dtype_));
        return {reinterpret_cast<T*>(data_.get()), static_cast<size_t>(size_)};
    }
    template <typename T>
    [[nodiscard]] std::span<const T> as() const {
        LOWKEY_CHECK(static_cast<int64_t>(sizeof(T)) == dtype_bytes(dtype_));
        return {reinterpret_cast<const T*>(data_.get()), static_cast<size_t>(size_)};
    }
    [[nodiscard]] std::span<float> f32() { return as<float>(); }
    [[nodiscard]] std::span<const float> f32() const { return as<float>(); }

private:
    struct Free {
        void operator()(std::byte* p) const;
    };
    DType dtype_ = DType::kF32;
    Shape shape_ = {0};
    int64_t size_ = 0;
    std::unique_ptr<std::byte[], Free> data_;
};

/// f32 elements of any floating-point view, converted where needed.
std::vector<float> to_f32(const TensorView& view);

}  // namespace lowkey
