#include "base/mapped_file.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <functional>
#include <utility>

#include "base/descriptor.h"
#include "base/error.h"

namespace lowkey {

MappedFile::MappedFile(const std::string& path) : path_(path) {
    const Descriptor file = open_regular(path);
    struct stat info = {};
    if (fstat(file.get(), &info) == 0) size_ = static_cast<size_t>(info.st_size);
    if (size_ == 0) return;
    void* address = mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.get(), 0);
    if (address == MAP_FAILED) {
        throw FileError("cannot map file", path + " (" + std::strerror(errno) + ")",
                        "check the path");
    }
    data_ = static_cast<const std::byte*>(address);
}

MappedFile::~MappedFile() {
    if (data_ == nullptr) return;
    // munmap takes a pointer to non-const although it writes nothing.
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-const-cast)
    munmap(const_cast<std::byte*>(data_), size_);
}

void MappedFile::release(std::span<const std::byte> part) const {
    const std::less<> before;  // part may be memory of another object
    if (data_ == nullptr || before(part.data(), data_) ||
        before(data_ + size_, part.data() + part.size()))
        return;
    const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    const auto offset = static_cast<size_t>(part.data() - data_);
    const size_t begin = (offset + page - 1) / page * page;
    const size_t end = offset + part.size() == size_ ? size_ : (offset + part.size()) / page * page;
    if (begin >= end) return;
    // Only advice: whether it is taken does not matter to the caller. Like munmap, it takes a
    // pointer to non-const and writes nothing.
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-const-cast)
    madvise(const_cast<std::byte*>(data_) + begin, end - begin, MADV_DONTNEED);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
    std::swap(path_, other.path_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
}

}  // namespace lowkey
