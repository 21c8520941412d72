#pragma once

#include "model/family.h"

namespace lowkey {

/// MPT: ALiBi, a fused and possibly clipped projection, layer norms without biases.
Family mpt_family();

}  // namespace lowkey
