#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace lowkey {

/// A whole file mapped read-only. Movable; the mapping ends with the object.
class MappedFile {
public:
    /// Throws FileError when the file cannot be opened or mapped, or is not a regular file. An
    /// empty file has no bytes.
    explicit MappedFile(const std::string& path);
    ~MappedFile();
    MappedFile(MappedFile&& other) noexcept;
    MappedFile& operator=(MappedFile&& other) noexcept;
    MappedFile(const MappedFile&) = delete;
    MappedFile& operator=(const MappedFile&) = delete;

    [[nodiscard]] std::span<const std::byte> bytes() const { return {data_, size_}; }
    [[nodiscard]] const std::string& path() const { return path_; }
    /// Gives back the memory that holds what was read; it is read again when asked for.
    void release() const { release(bytes()); }
    /// The same of a part of it, as far as that covers whole pages; nothing for what lies
    /// elsewhere.
    void release(std::span<const std::byte> part) const;

private:
    std::string path_;
    const std::byte* data_ = nullptr;
    size_t size_ = 0;
};

}  // namespace lowkey
