#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/mapped_file.h"
#include "tensor/tensor.h"

namespace lowkey {

/// A safetensors file, mapped; its header is checked whole before anything is handed out.
class SafetensorsFile {
public:
    /// Throws FileError naming the file and the tensor: no header, header longer than the file or
    /// than 100 MB, bad JSON, unknown dtype, negative or overflowing shape, offsets out of range,
    /// overlapping, with holes, or not matching shape × dtype, duplicate names, data not aligned to
    /// its dtype.
    explicit SafetensorsFile(const std::string& path);

    [[nodiscard]] const std::string& path() const { return file_.path(); }
    /// The header's `__metadata__`: strings by key.
    [[nodiscard]] const std::map<std::string, std::string>& metadata() const { return metadata_; }
    [[nodiscard]] const std::map<std::string, TensorView>& tensors() const { return tensors_; }
    [[nodiscard]] bool contains(const std::string& name) const { return tensors_.contains(name); }
    /// Valid as long as this object. Throws FileError when there is none of that name.
    [[nodiscard]] const TensorView& tensor(const std::string& name) const;
    /// As above, and throws FileError naming both when dtype or shape differ; -1 in `shape` takes
    /// any size.
    [[nodiscard]] const TensorView& tensor(const std::string& name, DType dtype,
                                           const Shape& shape) const;

private:
    MappedFile file_;
    std::map<std::string, std::string> metadata_;
    std::map<std::string, TensorView> tensors_;
};

/// Writes named tensors and metadata as one safetensors file, whole or not at all. Tensor data is
/// aligned to 64 bytes (the header is padded with spaces). Throws FileError.
void write_safetensors(const std::string& path, const std::map<std::string, TensorView>& tensors,
                       const std::map<std::string, std::string>& metadata = {});

}  // namespace lowkey
