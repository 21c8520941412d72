#include "cli/line_reader.h"

#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/error.h"

namespace lowkey::cli {
namespace {

constexpr size_t kMaxLineBytes = size_t{16} << 20;

}  // namespace

std::optional<std::string> LineReader::next() {
    size_t searched = 0;
    for (;;) {
        const size_t end = buffer_.find('\n', searched);
        if (end != std::string::npos) {
            std::string line = buffer_.substr(0, end);
            buffer_.erase(0, end + 1);
            if (!line.empty() && line.back() == '\r') line.pop_back();
            return line;
        }
        if (at_end_) {
            if (buffer_.empty()) return std::nullopt;
            return std::exchange(buffer_, {});
        }
        if (buffer_.size() > kMaxLineBytes) {
            throw FileError("a line of more than 16 MiB", "standard input",
                            "send shorter messages");
        }
        searched = buffer_.size();
        std::array<char, 4096> bytes;
        const ssize_t count = ::read(descriptor_, bytes.data(), bytes.size());
        if (count < 0 && errno == EINTR) return std::nullopt;
        if (count < 0) {
            throw FileError(std::string("cannot read (") + std::strerror(errno) + ")",
                            "standard input", "check where it comes from");
        }
        at_end_ = count == 0;
        buffer_.append(bytes.data(), static_cast<size_t>(count));
    }
}

}  // namespace lowkey::cli
