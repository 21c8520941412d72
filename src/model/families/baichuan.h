#pragma once

#include "model/family.h"

namespace lowkey {

/// Baichuan 1 and 2, of 7B (rotary positions) and 13B (ALiBi).
Family baichuan_family();

}  // namespace lowkey
