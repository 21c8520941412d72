#pragma once

#include <string>

namespace lowkey {

/// Whether this processor multiplies bf16 faster than f32: AMX, or `vdpbf16ps` at full rate (AMD).
/// Intel's cores without AMX take two cycles for that instruction, so there f32 is twice as fast
/// (measured: 178 against 350 GFLOP/s).
bool has_fast_bf16();

/// Whether this processor and its kernel have `vdpbf16ps`, at whatever rate.
bool has_avx512_bf16();
/// Whether products in AMX tiles of bf16 may be used; asks the kernel for their registers, which it
/// gives to processes that ask.
bool request_amx_bf16();

/// "AMD EPYC 9575F", as the kernel names it; "unknown processor" where it does not.
std::string cpu_name();

}  // namespace lowkey
