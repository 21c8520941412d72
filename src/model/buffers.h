#pragma once

#include <cstdint>
#include <span>

#include "attention/attention.h"
#include "tensor/linear.h"

namespace lowkey {

/// What a forward pass keeps from layer to layer in its Scratch.
enum class Buffer : size_t {
    kNormed = LinearInput::kNumSlots,
    kBlockOutput,
    kQueries,
    kKeysBefore,
    kKeys,
    kValues,
    kAttended,
    kGate,
    kUp,
};

/// Memory of a forward pass, handed from layer to layer.
struct ForwardBuffers {
    Scratch scratch;
    AttentionBuffers attention;
};

inline std::span<float> take(Scratch& buffers, Buffer buffer, int64_t count) {
    return {buffers.floats(static_cast<size_t>(buffer), count), static_cast<size_t>(count)};
}

}  // namespace lowkey
