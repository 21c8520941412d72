#pragma once

namespace lowkey {

/// Gives back to the system what malloc holds free. It keeps freed blocks of some hundred KiB that
/// lie below used ones, which after a long prompt are several MiB. Takes about a millisecond; does
/// nothing where the C library cannot.
void release_free_memory();

}  // namespace lowkey
