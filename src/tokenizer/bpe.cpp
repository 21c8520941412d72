#include "tokenizer/bpe.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <queue>

#include "base/error.h"
#include "base/unicode.h"
#include "tokenizer/byte_token.h"

namespace lowkey {
namespace {

constexpr uint32_t kNoRank = std::numeric_limits<uint32_t>::max();
constexpr char32_t kNoChar = 0xFFFFFFFF;
constexpr char32_t kLowChars = 0x400;  // covers the byte-level alphabet
constexpr size_t kShortWord = 48;      // symbols up to which a scan is faster than a heap
constexpr size_t kMaxMerges = size_t{1} << 24;

uint64_t pair_key(uint32_t left, uint32_t right) { return (uint64_t{left} << 32) | right; }
uint64_t pair_key(int32_t left, int32_t right) {
    return pair_key(static_cast<uint32_t>(left), static_cast<uint32_t>(right));
}

BpeOptions read_options(const JsonReader& model) {
    if (model.has("dropout") && model.at("dropout").number() != 0) {
        throw UnsupportedError("BPE dropout is not supported", model.file(),
                               "set model.dropout to null");
    }
    return {.unk_token = model.string_or("unk_token", ""),
            .continuing_subword_prefix = model.string_or("continuing_subword_prefix", ""),
            .end_of_word_suffix = model.string_or("end_of_word_suffix", ""),
            .fuse_unk = model.boolean_or("fuse_unk", false),
            .byte_fallback = model.boolean_or("byte_fallback", false),
            .ignore_merges = model.boolean_or("ignore_merges", false)};
}

}  // namespace

Bpe::Bpe(const JsonReader& model)
    : vocabulary_(Vocabulary::read(model.at("vocab"))), options_(read_options(model)) {
    const JsonReader merges = model.at("merges");
    if (!merges.is_array()) merges.fail("expected an array of merges");
    // Not by items(): there are 150k, and only a bad one needs a name in a message.
    size_t index = 0;
    for (const auto& merge : merges.value()) {
        const JsonReader reader(merge, model.file(),
                                "model.merges[" + std::to_string(index++) + "]");
        if (merge.is_string()) {
            const auto& text = merge.get_ref<const std::string&>();
            const size_t space = text.find(' ');
            if (space == std::string::npos || text.find(' ', space + 1) != std::string::npos)
                reader.fail("expected two tokens with a space between, got '" + text + "'");
            add_merge(std::string_view(text).substr(0, space),
                      std::string_view(text).substr(space + 1), reader);
        } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() &&
                   merge[1].is_string()) {
            add_merge(merge[0].get_ref<const std::string&>(),
                      merge[1].get_ref<const std::string&>(), reader);
        } else {
            reader.fail("expected two tokens");
        }
    }
    prepare();
    if (!options_.unk_token.empty() && unk_id_ == kNoToken)
        model.at("unk_token").fail("'" + options_.unk_token + "' is not in the vocabulary");
}

Bpe::Bpe(Vocabulary vocabulary, std::string_view merges_text, const std::string& file)
    : vocabulary_(std::move(vocabulary)) {
    const nlohmann::json nothing;
    size_t number = 0;
    for (size_t begin = 0; begin < merges_text.size();) {
        const size_t end = std::min(merges_text.find('\n', begin), merges_text.size());
        std::string_view line = merges_text.substr(begin, end - begin);
        begin = end + 1;
        ++number;
        if (line.ends_with('\r')) line.remove_suffix(1);
        if (line.empty() || line.starts_with("#version")) continue;
        const JsonReader reader(nothing, file, "line " + std::to_string(number));
        const size_t space = line.find(' ');
        if (space == std::string_view::npos || line.find(' ', space + 1) != std::string_view::npos)
            reader.fail("expected two tokens with a space between");
        add_merge(line.substr(0, space), line.substr(space + 1), reader);
    }
    prepare();
}

Bpe::Bpe(Vocabulary vocabulary, const std::vector<std::pair<std::string, std::string>>& merges,
         BpeOptions options, const std::string& file)
    : vocabulary_(std::move(vocabulary)), options_(std::move(options)) {
    const nlohmann::json nothing;
    const JsonReader where(nothing, file);
    for (const auto& [left, right] : merges) add_merge(left, right, where);
    prepare();
}

void Bpe::add_merge(std::string_view left, std::string_view right, const JsonReader& where) {
    if (merged_.size() == kMaxMerges) where.fail("too many merges");
    const std::string_view prefix = options_.continuing_subword_prefix;
    const auto id_of = [&](std::string_view token) {
        const int32_t id = vocabulary_.id(token);
        if (id == kNoToken)
            where.fail("merge with '" + std::string(token) + "', which is not in the vocabulary");
        return id;
    };
    const int32_t left_id = id_of(left);
    const int32_t right_id = id_of(right);
    if (right.size() < prefix.size()) where.fail("the merge's right part lacks the prefix");
    const int32_t merged = id_of(std::string(left).append(right.substr(prefix.size())));
    rank_of_pair_.set(pair_key(left_id, right_id), static_cast<uint32_t>(merged_.size()));
    merged_.push_back(merged);
    if (!left.empty() && !right.empty()) {
        joints_.set(pair_key(static_cast<uint32_t>(last_code_point(left)),
                             static_cast<uint32_t>(first_code_point(right))),
                    true);
    }
}

void Bpe::prepare() {
    if (!options_.unk_token.empty()) unk_id_ = vocabulary_.id(options_.unk_token);
    for (size_t byte = 0; byte < byte_ids_.size(); ++byte)
        byte_ids_[byte] = vocabulary_.id(byte_token(byte));
    for (char32_t c = 0; c < kLowChars; ++c) {
        std::string text;
        append_utf8(text, c);
        low_char_ids_.push_back(vocabulary_.id(text));
    }
}

int32_t Bpe::char_id(std::string_view text, char32_t c, bool first, bool last) const {
    const bool prefixed = !first && !options_.continuing_subword_prefix.empty();
    const bool suffixed = last && !options_.end_of_word_suffix.empty();
    if (!prefixed && !suffixed) return c < kLowChars ? low_char_ids_[c] : vocabulary_.id(text);
    std::string token;
    if (prefixed) token += options_.continuing_subword_prefix;
    token += text;
    if (suffixed) token += options_.end_of_word_suffix;
    return vocabulary_.id(token);
}

// Ids of all bytes, or none when one is missing.
std::vector<int32_t> Bpe::byte_ids(std::string_view text) const {
    std::vector<int32_t> ids;
    for (const char byte : text) {
        const int32_t id = byte_ids_[static_cast<uint8_t>(byte)];
        if (id == kNoToken) return {};
        ids.push_back(id);
    }
    return ids;
}

Bpe::Symbols Bpe::split(std::string_view word) const {
    Symbols symbols;
    symbols.ids.reserve(word.size());
    symbols.chars.reserve(word.size());
    bool unk_pending = false;
    const auto add = [&](int32_t id, char32_t c) {
        symbols.ids.push_back(id);
        symbols.chars.push_back(c);
    };
    for (size_t pos = 0; pos < word.size();) {
        const size_t begin = pos;
        const char32_t c = next_code_point(word, pos);
        const std::string_view text = word.substr(begin, pos - begin);
        const int32_t id = char_id(text, c, begin == 0, pos == word.size());
        if (id != kNoToken) {
            if (unk_pending) add(unk_id_, kNoChar);
            unk_pending = false;
            add(id, c);
            continue;
        }
        if (options_.byte_fallback) {
            const auto bytes = byte_ids(text);
            for (const int32_t byte : bytes) add(byte, kNoChar);
            if (!bytes.empty()) continue;
        }
        if (unk_id_ == kNoToken) continue;
        // A later unknown character may fuse with this one, so it waits.
        if (unk_pending && !options_.fuse_unk) add(unk_id_, kNoChar);
        unk_pending = true;
    }
    if (unk_pending) add(unk_id_, kNoChar);
    return symbols;
}

uint32_t Bpe::rank(int32_t left, int32_t right) const {
    const uint32_t* rank = rank_of_pair_.find(pair_key(left, right));
    return rank == nullptr ? kNoRank : *rank;
}

// No merge joins across a pair of characters that stands at no merge's joint, so the parts to its
// sides can be merged by themselves: exact, and most models have words at least, if not shorter.
bool Bpe::may_cut(const Symbols& symbols, size_t pos) const {
    const char32_t left = symbols.chars[pos - 1];
    const char32_t right = symbols.chars[pos];
    if (left == kNoChar || right == kNoChar) return false;
    return joints_.find(pair_key(static_cast<uint32_t>(left), static_cast<uint32_t>(right))) ==
           nullptr;
}

void Bpe::append_ids(std::string_view word, std::vector<int32_t>& ids) const {
    if (word.size() > static_cast<size_t>(std::numeric_limits<int32_t>::max()))
        throw Error("word of more than 2 GiB", "text to encode", "encode it in parts");
    if (options_.ignore_merges) {
        if (const int32_t id = vocabulary_.id(word); id != kNoToken) return ids.push_back(id);
    }
    Symbols symbols = split(word);
    const bool affixes =
        !options_.continuing_subword_prefix.empty() || !options_.end_of_word_suffix.empty();
    const size_t size = symbols.ids.size();
    for (size_t begin = 0; begin < size;) {
        size_t end = size;
        if (size > kShortWord && !affixes) {
            end = begin + 1;
            while (end < size && !may_cut(symbols, end)) ++end;
        }
        if (end - begin <= kShortWord) {
            merge_short(symbols.ids, begin, end, ids);
        } else {
            merge_long(symbols.ids, begin, end, ids);
        }
        begin = end;
    }
}

void Bpe::merge_short(std::vector<int32_t>& symbols, size_t begin, size_t end,
                      std::vector<int32_t>& ids) const {
    std::array<uint32_t, kShortWord> ranks;  // ranks[i]: of the pair at i
    int32_t* word = symbols.data() + begin;
    size_t size = end - begin;
    const auto rank_at = [&](size_t i) {
        return i + 1 < size ? rank(word[i], word[i + 1]) : kNoRank;
    };
    for (size_t i = 0; i < size; ++i) ranks[i] = rank_at(i);
    while (size > 1) {
        const auto best =
            std::min_element(ranks.begin(), ranks.begin() + static_cast<ptrdiff_t>(size));
        if (*best == kNoRank) break;
        const auto i = static_cast<size_t>(best - ranks.begin());
        word[i] = merged_[*best];
        std::copy(word + i + 2, word + size, word + i + 1);
        std::copy(best + 2, ranks.begin() + static_cast<ptrdiff_t>(size), best + 1);
        --size;
        ranks[i] = rank_at(i);
        if (i > 0) ranks[i - 1] = rank_at(i - 1);
    }
    ids.insert(ids.end(), word, word + size);
}

// A heap of (rank, place) over a linked list. Entries are not taken out when their pair changes:
// one is stale when its rank is no longer that of the pair at its place.
void Bpe::merge_long(std::vector<int32_t>& symbols, size_t begin, size_t end,
                     std::vector<int32_t>& ids) const {
    struct Node {
        uint32_t rank;  // of the pair that starts here; kNoRank: none, or merged into its left
        uint32_t previous;
        uint32_t next;
    };
    const auto size = static_cast<uint32_t>(end - begin);
    int32_t* word = symbols.data() + begin;
    std::vector<Node> nodes(size);
    std::vector<uint64_t> entries;
    entries.reserve(size);
    for (uint32_t i = 0; i < size; ++i) {
        nodes[i] = {i + 1 < size ? rank(word[i], word[i + 1]) : kNoRank, i - 1, i + 1};
        if (nodes[i].rank != kNoRank) entries.push_back(pair_key(nodes[i].rank, i));
    }
    std::priority_queue<uint64_t, std::vector<uint64_t>, std::greater<>> heap(std::greater<>(),
                                                                              std::move(entries));
    const auto update = [&](uint32_t i) {
        const uint32_t next = nodes[i].next;
        nodes[i].rank = next < size ? rank(word[i], word[next]) : kNoRank;
        if (nodes[i].rank != kNoRank) heap.push(pair_key(nodes[i].rank, i));
    };
    while (!heap.empty()) {
        const auto best = static_cast<uint32_t>(heap.top() >> 32);
        const auto i = static_cast<uint32_t>(heap.top());
        heap.pop();
        if (nodes[i].rank != best) continue;
        const uint32_t gone = nodes[i].next;
        word[i] = merged_[best];
        nodes[gone].rank = kNoRank;
        nodes[i].next = nodes[gone].next;
        if (nodes[i].next < size) nodes[nodes[i].next].previous = i;
        update(i);
        if (i > 0) update(nodes[i].previous);
    }
    for (uint32_t i = 0; i < size; i = nodes[i].next) ids.push_back(word[i]);
}

}  // namespace lowkey
