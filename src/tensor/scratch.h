#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "tensor/tensor.h"

namespace lowkey {

/// Memory that is reused from call to call, by numbered slots. Not thread-safe.
class Scratch {
public:
    /// Uninitialized elements, aligned to 64 bytes, valid until the next call with the same slot.
    float* floats(size_t slot, int64_t count) {
        return reinterpret_cast<float*>(bytes(slot, count * 4));
    }
    uint16_t* halves(size_t slot, int64_t count) {
        return reinterpret_cast<uint16_t*>(bytes(slot, count * 2));
    }

private:
    std::byte* bytes(size_t slot, int64_t count) {
        if (slots_.size() <= slot) slots_.resize(slot + 1);
        if (slots_[slot].bytes() < count) {
            slots_[slot] = Tensor();  // before the larger one comes
            slots_[slot] = Tensor(DType::kU8, {count});
        }
        return slots_[slot].data();
    }

    std::vector<Tensor> slots_;
};

}  // namespace lowkey
