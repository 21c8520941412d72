#include "tokenizer/merge_tokens.h"

#include <algorithm>
#include <unordered_map>

#include "base/error.h"

namespace lowkey {
namespace {

class Merger {
public:
    Merger(std::vector<AddedToken> own, const Vocabulary& vocabulary)
        : vocabulary_(vocabulary), tokens_(std::move(own)), end_id_(vocabulary.end_id()) {
        for (size_t i = 0; i < tokens_.size(); ++i) note(i);
    }

    // A token with an id. Of one whose text has another id already, that id stays.
    void overrule(AddedToken token, bool flags) {
        if (token.content.empty()) return;
        if (const auto known = by_text_.find(token.content); known != by_text_.end()) {
            if (!flags) return;
            token.id = tokens_[known->second].id;
            tokens_[known->second] = std::move(token);
            return;
        }
        if (const int32_t id = vocabulary_.id(token.content); id != kNoToken) token.id = id;
        if (const auto taken = by_id_.find(token.id); taken != by_id_.end()) {
            const size_t place = taken->second;
            by_text_.erase(tokens_[place].content);
            tokens_[place] = std::move(token);
            note(place);
            return;
        }
        append(std::move(token));
    }

    void add_without_id(AddedToken token, const std::string& where) {
        if (token.content.empty() || by_text_.contains(token.content)) return;
        token.id = vocabulary_.id(token.content);
        if (token.id == kNoToken || by_id_.contains(token.id)) token.id = end_id_;
        if (token.id >= kMaxTokenIds)
            throw FileError("too many tokens", where, "check the files, or get them again");
        append(std::move(token));
    }

    std::vector<AddedToken> take() { return std::move(tokens_); }

private:
    void append(AddedToken token) {
        tokens_.push_back(std::move(token));
        note(tokens_.size() - 1);
    }
    void note(size_t place) {
        by_text_[tokens_[place].content] = place;
        by_id_[tokens_[place].id] = place;
        end_id_ = std::max(end_id_, tokens_[place].id + 1);
    }

    const Vocabulary& vocabulary_;
    std::vector<AddedToken> tokens_;
    std::unordered_map<std::string, size_t> by_text_;  // places in tokens_
    std::unordered_map<int32_t, size_t> by_id_;
    int32_t end_id_;
};

}  // namespace

std::vector<AddedToken> merge_added_tokens(std::vector<AddedToken> own,
                                           const TokenizerConfig& config,
                                           const Vocabulary& vocabulary) {
    Merger merger(std::move(own), vocabulary);
    for (const AddedToken& token : config.added_tokens) merger.overrule(token, config.overrules);
    for (const AddedToken& token : config.special_tokens)
        merger.add_without_id(token, config.directory);
    return merger.take();
}

}  // namespace lowkey
