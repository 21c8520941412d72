#pragma once

#include "model/family.h"

namespace lowkey {

/// Phi 3, 3.5 and 4 (mini and medium): Llama with fused projections, LongRoPE and windows.
Family phi3_family();

}  // namespace lowkey
