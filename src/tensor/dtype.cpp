#include "tensor/dtype.h"

#include <array>
#include <cctype>
#include <cmath>
#include <string>

#include "base/error.h"

namespace lowkey {
namespace {

struct DTypeRow {
    DType dtype;
    std::string_view name;
    std::string_view torch_name;
    int64_t bytes;
};

constexpr std::array<DTypeRow, 10> kDTypes = {{
    {DType::kF64, "f64", "float64", 8},
    {DType::kF32, "f32", "float32", 4},
    {DType::kF16, "f16", "float16", 2},
    {DType::kBF16, "bf16", "bfloat16", 2},
    {DType::kI64, "i64", "int64", 8},
    {DType::kI32, "i32", "int32", 4},
    {DType::kI16, "i16", "int16", 2},
    {DType::kI8, "i8", "int8", 1},
    {DType::kU8, "u8", "uint8", 1},
    {DType::kBool, "bool", "bool", 1},
}};

const DTypeRow& row(DType dtype) {
    for (const DTypeRow& r : kDTypes) {
        if (r.dtype == dtype) return r;
    }
    LOWKEY_CHECK(false && "a DType without a row");
    return kDTypes[0];
}

}  // namespace

int64_t dtype_bytes(DType dtype) { return row(dtype).bytes; }
std::string_view dtype_name(DType dtype) { return row(dtype).name; }

std::optional<DType> parse_dtype(std::string_view name) {
    std::string lower;
    for (const char c : name)
        lower += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    for (const DTypeRow& r : kDTypes) {
        if (lower == r.name || lower == r.torch_name) return r.dtype;
    }
    return std::nullopt;
}

bool is_floating_point(DType dtype) {
    return dtype == DType::kF64 || dtype == DType::kF32 || dtype == DType::kF16 ||
           dtype == DType::kBF16;
}

float f16_to_f32(uint16_t bits) {
    const uint32_t sign = (bits & 0x8000u) << 16;
    const uint32_t exponent = (bits >> 10) & 0x1fu;
    const uint32_t mantissa = bits & 0x3ffu;
    if (exponent == 0x1f) return std::bit_cast<float>(sign | 0x7f800000u | (mantissa << 13));
    if (exponent != 0)
        return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
    const float subnormal = std::ldexp(static_cast<float>(mantissa), -24);
    return sign != 0 ? -subnormal : subnormal;
}

}  // namespace lowkey
