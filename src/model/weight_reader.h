#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "io/checkpoint.h"

namespace lowkey {

/// Reads a checkpoint's weights, and looks at every byte of them once while they are read anyway:
/// whether all numbers are finite, and what they hash to. Remembers what was read, so that it can
/// say what was not. Not thread-safe; reading a tensor uses all threads.
class WeightReader {
public:
    /// Weights that will be converted to `dtype` must be finite in that, too.
    WeightReader(const Checkpoint& checkpoint, DType dtype);

    [[nodiscard]] const Checkpoint& checkpoint() const { return checkpoint_; }
    /// Whether the files hold such a tensor. Checkpoints that make their weights hold all.
    [[nodiscard]] bool contains(const std::string& name) const {
        return checkpoint_.contains(name);
    }
    /// Checkpoint::tensor(), looked through. Throws FileError naming the tensor and the place of a
    /// number that is not finite, and UnsupportedError naming the method where the checkpoint is
    /// quantized and therefore has no such tensor.
    TensorView read(const std::string& name, const Shape& shape);
    /// The same as memory of the caller's own, where the checkpoint makes weights; else empty.
    Tensor make(const std::string& name, const Shape& shape);
    /// Counts a tensor as read that nobody needs.
    void skip(const std::string& name) { seen_.insert(name); }

    /// The checkpoint's fingerprint with the hash of all that was read, where it comes from files.
    [[nodiscard]] std::string fingerprint() const;
    /// What a user should know of what was not read, a sentence each. Names that begin with one of
    /// `other_parts` belong to parts of the model that are not used.
    [[nodiscard]] std::vector<std::string> warnings(
        const std::vector<std::string>& other_parts) const;

private:
    const Checkpoint& checkpoint_;
    DType dtype_;
    std::string quantization_;                   // as io/quantization.h names it
    std::set<std::string> seen_;                 // names asked for
    std::map<std::string, std::string> hashes_;  // by name, of what was read
};

}  // namespace lowkey
