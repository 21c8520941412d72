#define LOWKEY_KERNEL_ISA avx512_bf16
#define LOWKEY_ISA_NAME "avx512_bf16"
#define LOWKEY_VEC_BYTES 64
#include "kernels/kernels.inl"
