#pragma once

#include <string>

namespace lowkey {

// A checkpoint's fingerprint is what opening it shows (32 hex digits: all names, dtypes and shapes,
// a sample of the bytes, and config.json), or that and ".1." and 32 more digits of all bytes of the
// weights that were read. Files that were made before all bytes were hashed hold the first part.

/// The fingerprint of a checkpoint all of whose weights were read.
std::string whole_fingerprint(const std::string& sampled, const std::string& all_bytes);

/// Whether two fingerprints, of either kind, may be of one checkpoint: all that both say agrees.
bool same_checkpoint(const std::string& a, const std::string& b);
/// How a file of `theirs` does not belong to the model of `ours`, for a message: "is for the
/// checkpoint A, this one is B", or that they differ only in bytes that the first part did not see,
/// so that one is damaged or was edited in place.
std::string describe_difference(const std::string& theirs, const std::string& ours);

}  // namespace lowkey
