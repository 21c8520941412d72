#pragma once

#include "model/family.h"

namespace lowkey {

/// Mistral: Llama with a sliding window on every layer.
Family mistral_family();

}  // namespace lowkey
