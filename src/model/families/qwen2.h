#pragma once

#include "model/family.h"

namespace lowkey {

/// Qwen 1.5, 2 and 2.5.
Family qwen2_family();

/// The windows of Qwen: on layers from `max_window_layers`, or as `layer_types` says, when
/// `use_sliding_window` switches them on.
std::vector<int64_t> read_qwen_windows(const JsonReader& config, int64_t num_layers);

}  // namespace lowkey
