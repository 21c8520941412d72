#pragma once

#include <string>

#include "io/checkpoint.h"

namespace lowkey {

/// What a checkpoint's weights are quantized with ("GPTQ, 4 bits"), as config.json or the names and
/// dtypes of its tensors say; empty where nothing says so. A config.json may say so of weights that
/// are not: those can be read.
std::string quantization_of(const Checkpoint& checkpoint);

}  // namespace lowkey
