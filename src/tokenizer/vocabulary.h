#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "io/json_reader.h"

namespace lowkey {

/// Ids of files are below this: far above any vocabulary, and small enough for tables by id.
inline constexpr int64_t kMaxTokenIds = int64_t{1} << 24;
/// Bytes of a file with a vocabulary, at most.
inline constexpr int64_t kMaxVocabularyBytes = int64_t{256} << 20;
/// "No token", where an id is expected.
inline constexpr int32_t kNoToken = -1;

/// Tokens and their ids, both unique.
class Vocabulary {
public:
    /// Reads {"token": id, ...}. Throws FileError for ids that are out of range or used twice.
    static Vocabulary read(const JsonReader& object);

    /// Adds a token; false when the token or the id is there already.
    bool add(std::string token, int32_t id);
    [[nodiscard]] int32_t id(std::string_view token) const;  ///< or kNoToken
    /// The token of any id, or null.
    [[nodiscard]] const std::string* token(int32_t id) const;
    /// One more than the greatest id.
    [[nodiscard]] int32_t end_id() const { return static_cast<int32_t>(token_of_id_.size()); }

private:
    struct Hash {
        using is_transparent = void;  // NOLINT(readability-identifier-naming): the standard's name
        size_t operator()(std::string_view text) const {
            return std::hash<std::string_view>()(text);
        }
    };
    std::unordered_map<std::string, int32_t, Hash, std::equal_to<>> id_of_token_;
    std::vector<const std::string*> token_of_id_;  // keys of the map, which never move
};

}  // namespace lowkey
