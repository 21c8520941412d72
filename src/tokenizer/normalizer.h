#pragma once

#include <memory>
#include <string>

#include "io/json_reader.h"

namespace lowkey {

/// Rewrites text before it is split. Immutable, thread-safe.
class Normalizer {
public:
    virtual ~Normalizer() = default;
    /// Valid UTF-8 to valid UTF-8.
    [[nodiscard]] virtual std::string apply(std::string text) const = 0;
};

/// Reads "normalizer" of a tokenizer.json. Throws FileError, or UnsupportedError with the name of
/// what lowkey does not know.
std::unique_ptr<Normalizer> make_normalizer(const JsonReader& component);

/// Composes characters with their marks (NFC).
std::unique_ptr<Normalizer> make_nfc_normalizer();

}  // namespace lowkey
