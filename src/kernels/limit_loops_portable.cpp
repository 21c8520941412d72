#define LOWKEY_LIMIT_ISA portable
#define LOWKEY_ISA_NAME "portable"
#define LOWKEY_VEC_BYTES 16
#include "kernels/limit_loops.inl"
