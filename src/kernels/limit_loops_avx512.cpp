#define LOWKEY_LIMIT_ISA avx512
#define LOWKEY_ISA_NAME "avx512"
#define LOWKEY_VEC_BYTES 64
#include "kernels/limit_loops.inl"
