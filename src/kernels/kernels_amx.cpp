#define LOWKEY_KERNEL_ISA amx
#define LOWKEY_ISA_NAME "amx"
#define LOWKEY_VEC_BYTES 64
#include "kernels/kernels.inl"
