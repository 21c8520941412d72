#pragma once

#include <bit>
#include <cstdint>
#include <optional>
#include <string_view>

namespace lowkey {

/// Element types of tensors, as safetensors names them.
enum class DType { kF64, kF32, kF16, kBF16, kI64, kI32, kI16, kI8, kU8, kBool };

/// Bytes of one element.
int64_t dtype_bytes(DType dtype);
/// "f32", "bf16", …: the name used in flags, JSON and docs.
std::string_view dtype_name(DType dtype);
/// The inverse of dtype_name; also takes safetensors' upper case and torch's names ("BF16",
/// "bfloat16", "float32").
std::optional<DType> parse_dtype(std::string_view name);
/// f64, f32, f16 or bf16.
bool is_floating_point(DType dtype);

/// The upper half of an f32, rounded to nearest even; NaN stays NaN.
struct BF16 {
    uint16_t bits;
};

inline float to_f32(BF16 x) { return std::bit_cast<float>(static_cast<uint32_t>(x.bits) << 16); }

inline BF16 to_bf16(float x) {
    const auto bits = std::bit_cast<uint32_t>(x);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return {static_cast<uint16_t>((bits >> 16) | 0x40u)};
    return {static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16)};
}

/// IEEE half precision.
float f16_to_f32(uint16_t bits);

}  // namespace lowkey
