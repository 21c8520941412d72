#define LOWKEY_LIMIT_ISA avx2
#define LOWKEY_ISA_NAME "avx2"
#define LOWKEY_VEC_BYTES 32
#include "kernels/limit_loops.inl"
