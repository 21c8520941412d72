#pragma once

#include "model/family.h"

namespace lowkey {

/// GLM-4 (9B and edge models): half of each head rotates, in neighbouring pairs.
Family glm_family();
/// GLM-4-0414: GLM with norms of the blocks' outputs as well.
Family glm4_family();

}  // namespace lowkey
