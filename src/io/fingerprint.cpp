#include "io/fingerprint.h"

#include <string_view>

namespace lowkey {
namespace {

/// How bytes are hashed. Another way needs another version, which is compared with no other.
constexpr std::string_view kVersion = ".1.";

struct Parts {
    std::string_view sampled;
    std::string_view version;  ///< empty where not all bytes were hashed
    std::string_view all_bytes;
};

Parts parts(std::string_view fingerprint) {
    const size_t first = fingerprint.find('.');
    if (first == std::string_view::npos) return {fingerprint, {}, {}};
    const size_t second = fingerprint.find('.', first + 1);
    if (second == std::string_view::npos) return {fingerprint, {}, {}};
    return {fingerprint.substr(0, first), fingerprint.substr(first, second + 1 - first),
            fingerprint.substr(second + 1)};
}

bool bytes_differ(const Parts& a, const Parts& b) {
    return a.version == b.version && a.all_bytes != b.all_bytes;
}

}  // namespace

std::string whole_fingerprint(const std::string& sampled, const std::string& all_bytes) {
    return sampled + std::string(kVersion) + all_bytes;
}

bool same_checkpoint(const std::string& a, const std::string& b) {
    const Parts x = parts(a);
    const Parts y = parts(b);
    return x.sampled == y.sampled && !bytes_differ(x, y);
}

std::string describe_difference(const std::string& theirs, const std::string& ours) {
    if (parts(theirs).sampled != parts(ours).sampled)
        return "is for the checkpoint " + theirs + ", this one is " + ours;
    return "is for this checkpoint with other bytes in it (" + theirs + ", now " + ours +
           "): one of the two is damaged or was edited";
}

}  // namespace lowkey
