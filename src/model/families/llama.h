#pragma once

#include "model/family.h"

namespace lowkey {

/// Llama.
Family llama_family();

/// The keys that Llama and its descendants share.
ModelConfig read_llama_config(const JsonReader& config);

}  // namespace lowkey
