#include "base/atomic_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <random>

#include "base/error.h"

namespace lowkey {
namespace {

namespace fs = std::filesystem;

constexpr mode_t kNewMode = 0666;  // less the umask
constexpr mode_t kPermissions = 07777;

/// What stands at an output path.
struct Place {
    bool exists = false;
    bool regular = false;
    mode_t mode = 0;
};

/// Throws for what no output can go to.
Place look_at(const std::string& path) {
    if (path.empty()) throw UsageError("empty output path", "", "name a file");
    struct stat info = {};
    if (stat(path.c_str(), &info) != 0) {
        if (errno != ELOOP) return {};
        throw FileError("cannot write file", path + " (a link to itself)", "name another file");
    }
    if (S_ISDIR(info.st_mode)) {
        throw FileError("cannot write file", path + " (is a directory)", "name a file in it");
    }
    return {.exists = true,
            .regular = S_ISREG(info.st_mode) && !descriptor_of(path),
            .mode = info.st_mode & kPermissions};
}

/// What is open already may be written whoever its owner is.
bool may_write(const std::string& path) {
    return descriptor_of(path).has_value() || access(path.c_str(), W_OK) == 0;
}

/// The file at the end of all links, which need not exist; the path itself where there is none.
std::string behind_links(const std::string& path) {
    constexpr int kMostLinks = 40;  // as the system allows
    std::error_code error;
    fs::path at = path;
    for (int i = 0; i < kMostLinks && fs::is_symlink(at, error); ++i) {
        const fs::path next = fs::read_symlink(at, error);
        if (error) break;
        at = next.is_absolute() ? next : at.parent_path() / next;
    }
    return at.string();
}

/// Makes the new name of a file outlast a crash. File systems that cannot do that say EINVAL.
bool sync_folder(const std::string& path) {
    const std::string parent = fs::path(path).parent_path().string();
    const Descriptor folder(
        open(parent.empty() ? "." : parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    // A folder that may be written but not read cannot be asked.
    if (!folder.is_open()) return true;
    return fsync(folder.get()) == 0 || errno == EINVAL || errno == EROFS || errno == ENOTSUP;
}

}  // namespace

AtomicFile::AtomicFile(const std::string& path) : path_(path) {
    const Place place = look_at(path);
    if (place.exists && !may_write(path)) fail("cannot write file");
    if (place.exists && !place.regular) {
        const auto stream = descriptor_of(path);
        file_ = Descriptor(stream ? fcntl(*stream, F_DUPFD_CLOEXEC, 0)
                                  : open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY));
        if (!file_.is_open()) fail("cannot write file");
        return;
    }
    target_ = behind_links(path);
    if (place.exists) mode_ = place.mode;
    open_temporary(place.exists);
}

void AtomicFile::open_temporary(bool replaces) {
    // Not mkostemp(): it knows neither umask nor the folder's defaults.
    std::random_device random;
    do {
        temporary_ = fmt::format("{}.{:08x}", target_, random());
        file_ = Descriptor(open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
                                replaces ? S_IRUSR | S_IWUSR : kNewMode));
    } while (!file_.is_open() && errno == EEXIST);
    if (!file_.is_open()) fail("cannot write file");
}

AtomicFile::~AtomicFile() {
    if (file_.is_open() && !temporary_.empty()) unlink(temporary_.c_str());
}

void AtomicFile::write(std::span<const std::byte> bytes) {
    if (!write_all(file_, bytes)) fail("cannot write file");
}

void AtomicFile::write(std::string_view text) { write(std::as_bytes(std::span(text))); }

void AtomicFile::commit() {
    // Pipes and devices have no disk: EINVAL.
    if (fsync(file_.get()) != 0 && errno != EINVAL && errno != EROFS && errno != ENOTSUP)
        fail("cannot write file");
    if (!temporary_.empty()) {
        if (mode_ && fchmod(file_.get(), *mode_) != 0) fail("cannot write file");
        if (std::rename(temporary_.c_str(), target_.c_str()) != 0) fail("cannot write file");
    }
    file_ = Descriptor();
    if (!temporary_.empty() && !sync_folder(target_)) fail("cannot write file");
}

void AtomicFile::fail(const char* what) const {
    throw FileError(what, path_ + " (" + std::strerror(errno) + ")",
                    "check that the folder exists, can be written and has room");
}

void check_writable(const std::string& path) {
    const Place place = look_at(path);
    if (!place.exists || place.regular) {
        const AtomicFile probe(path);
    } else if (!may_write(path)) {
        throw FileError("cannot write file", path + " (" + std::strerror(errno) + ")",
                        "check its permissions");
    }
}

}  // namespace lowkey
