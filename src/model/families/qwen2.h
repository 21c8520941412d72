#pragma once

#include "model/family.h"

namespace lowkey {

/// Qwen 1.5, 2 and 2.5.
Family qwen2_family();

}  // namespace lowkey
