#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/mapped_file.h"
#include "tensor/tensor.h"

namespace lowkey {

/// The format's spelling of a dtype: "BF16".
std::string file_dtype(DType dtype);

/// A safetensors file, mapped; its header is checked whole before anything is handed out. Views are
/// valid as long as the object, also after it was moved; the file may not be changed meanwhile.
/// Reading is thread-safe.
///
/// Every tensor view is aligned to its dtype. Data that is not aligned in the file (files of old
/// writers, whose header has any length) is copied to memory of our own when the file is opened,
/// which costs the time and bytes of the copy; everything else stays mapped.
///
/// Source: https://huggingface.co/docs/safetensors (format).
class SafetensorsFile {
public:
    /// A tensor whose dtype has no DType (F8_E4M3, U32, ...).
    struct UnsupportedTensor {
        std::string dtype;  ///< as the file names it
        Shape shape;
        std::span<const std::byte> bytes;
    };

    /// Throws FileError naming the file and the tensor: no header, header longer than the file or
    /// than 100 MB, bad JSON, duplicate names, negative or overflowing shape, offsets that do not
    /// match shape x dtype or do not tile the data (overlap, hole, file truncated or too long).
    /// A dtype without a DType is no reason to refuse the other tensors: see tensor().
    explicit SafetensorsFile(const std::string& path);

    /// As it was given.
    [[nodiscard]] const std::string& path() const { return file_.path(); }
    /// The header's `__metadata__`: strings by key.
    [[nodiscard]] const std::map<std::string, std::string>& metadata() const { return metadata_; }
    /// All tensors but unsupported().
    [[nodiscard]] const std::map<std::string, TensorView>& tensors() const { return tensors_; }
    /// Tensors that can be named, but not read.
    [[nodiscard]] const std::map<std::string, UnsupportedTensor>& unsupported() const {
        return unsupported_;
    }
    /// Whether the file has a tensor of that name, unsupported ones included.
    [[nodiscard]] bool contains(const std::string& name) const {
        return tensors_.contains(name) || unsupported_.contains(name);
    }
    /// Throws FileError when there is none of that name, UnsupportedError naming its dtype when
    /// that has no DType.
    [[nodiscard]] const TensorView& tensor(const std::string& name) const;
    /// As above, and throws FileError naming both when dtype or shape differ; -1 in `shape` takes
    /// any size.
    [[nodiscard]] const TensorView& tensor(const std::string& name, DType dtype,
                                           const Shape& shape) const;
    /// Lets go of the memory that mapped tensors have come to; they are read again when used.
    void release() const { file_.release(); }
    /// The same of one tensor; nothing for what is not in the file.
    void release(const TensorView& tensor) const {
        file_.release({tensor.data, static_cast<size_t>(tensor.bytes())});
    }

private:
    MappedFile file_;
    std::map<std::string, std::string> metadata_;
    std::map<std::string, TensorView> tensors_;
    std::map<std::string, UnsupportedTensor> unsupported_;
    std::vector<Tensor> copies_;  // of tensors that are not aligned in the file
};

/// Writes named tensors and metadata as one safetensors file, whole or not at all. The same input
/// gives the same bytes. The data starts at a multiple of 64 bytes (the header is padded with
/// spaces) and holds wide dtypes first, by name within a width, so that every tensor is aligned to
/// its dtype: the format allows no padding between tensors. Metadata bytes that are not UTF-8 are
/// replaced. Throws FileError; a file that was at `path` before then stays as it was.
void write_safetensors(const std::string& path, const std::map<std::string, TensorView>& tensors,
                       const std::map<std::string, std::string>& metadata = {});

}  // namespace lowkey
