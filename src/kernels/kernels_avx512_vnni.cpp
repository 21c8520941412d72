#define LOWKEY_KERNEL_ISA avx512_vnni
#define LOWKEY_ISA_NAME "avx512_vnni"
#define LOWKEY_VEC_BYTES 64
#include "kernels/kernels.inl"
