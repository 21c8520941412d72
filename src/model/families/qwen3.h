#pragma once

#include "model/family.h"

namespace lowkey {

/// Qwen 3: queries and keys are normalized per head.
Family qwen3_family();

}  // namespace lowkey
