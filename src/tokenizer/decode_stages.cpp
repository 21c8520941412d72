#include "tokenizer/decode_stages.h"

#include <optional>

#include "base/unicode.h"
#include "tokenizer/byte_level.h"
#include "tokenizer/byte_token.h"
#include "tokenizer/component.h"
#include "tokenizer/metaspace.h"
#include "tokenizer/text_pattern.h"

namespace lowkey {
namespace {

constexpr const char* kReplacement = "\xEF\xBF\xBD";
constexpr int64_t kMaxStrip = 1 << 20;

// clone() by the copy of a stage that nothing was pushed to.
template <typename Self>
class ClonableStage : public DecodeStage {
public:
    [[nodiscard]] std::unique_ptr<DecodeStage> clone() const override {
        return std::make_unique<Self>(static_cast<const Self&>(*this));
    }
};

// A stage that needs tokens as a whole: collects the fragments of each.
template <typename Self>
class WholeTokenStage : public ClonableStage<Self> {
public:
    void push(const Fragment& in, std::vector<Fragment>& out) override {
        if (in.begins_token) token_.clear();
        token_ += in.text;
        if (in.ends_token) push_token(token_, out);
    }
    void finish(std::vector<Fragment>& /*out*/) override {}

protected:
    virtual void push_token(const std::string& token, std::vector<Fragment>& out) = 0;

private:
    std::string token_;
};

// Makes one token of all, passed on in fragments.
class FusedOutput {
public:
    void push(std::string text, std::vector<Fragment>& out) {
        if (text.empty()) return;
        out.push_back({std::move(text), !begun_, false});
        begun_ = true;
    }
    void finish(std::string text, std::vector<Fragment>& out) {
        out.push_back({std::move(text), !begun_, true});
        begun_ = true;
    }

private:
    bool begun_ = false;
};

class FuseStage : public ClonableStage<FuseStage> {
public:
    void push(const Fragment& in, std::vector<Fragment>& out) override {
        fused_.push(in.text, out);
    }
    void finish(std::vector<Fragment>& out) override { fused_.finish({}, out); }

private:
    FusedOutput fused_;
};

class SpaceJoinStage : public ClonableStage<SpaceJoinStage> {
public:
    void push(const Fragment& in, std::vector<Fragment>& out) override {
        if (in.begins_token && !first_) out.push_back({" ", true, false});
        out.push_back(in);
        out.back().begins_token = in.begins_token && first_;
        first_ = false;
    }
    void finish(std::vector<Fragment>& /*out*/) override {}

private:
    bool first_ = true;
};

class ByteLevelStage : public WholeTokenStage<ByteLevelStage> {
public:
    void finish(std::vector<Fragment>& out) override {
        std::string storage;
        fused_.finish(std::string(valid_utf8(bytes_, storage)), out);
    }

protected:
    void push_token(const std::string& token, std::vector<Fragment>& out) override {
        alphabet_->append_bytes(bytes_, token);
        // All is certain but a last character that more bytes may complete.
        const size_t certain = bytes_.size() - incomplete_tail(bytes_);
        std::string storage;
        fused_.push(std::string(valid_utf8(std::string_view(bytes_).substr(0, certain), storage)),
                    out);
        bytes_.erase(0, certain);
    }

private:
    std::shared_ptr<const ByteLevelAlphabet> alphabet_ =
        std::make_shared<const ByteLevelAlphabet>();
    FusedOutput fused_;
    std::string bytes_;  // of a character that is not complete
};

// `<0x41>` to bytes. Whether a run of them is text is known only when it ends.
class ByteFallbackStage : public WholeTokenStage<ByteFallbackStage> {
public:
    void finish(std::vector<Fragment>& out) override { flush(out); }

protected:
    void push_token(const std::string& token, std::vector<Fragment>& out) override {
        if (const auto byte = parse_byte_token(token)) {
            bytes_ += *byte;
            return;
        }
        flush(out);
        out.push_back({token});
    }

private:
    void flush(std::vector<Fragment>& out) {
        if (bytes_.empty()) return;
        std::string storage;
        if (valid_utf8(bytes_, storage).data() == bytes_.data()) {
            out.push_back({bytes_});
        } else {
            for (size_t i = 0; i < bytes_.size(); ++i) out.push_back({kReplacement});
        }
        bytes_.clear();
    }

    std::string bytes_;
};

// Takes up to `start` characters from the left of each token and up to `stop` from its right.
class StripStage : public ClonableStage<StripStage> {
public:
    explicit StripStage(const JsonReader& component)
        : content_(component.at("content").string()),
          start_(static_cast<size_t>(component.integer_or("start", 0, 0, kMaxStrip))),
          stop_(static_cast<size_t>(component.integer_or("stop", 0, 0, kMaxStrip))) {
        size_t end = 0;
        if (!content_.empty()) next_code_point(content_, end);
        if (end == 0 || end != content_.size())
            component.at("content").fail("expected one character");
    }
    void push(const Fragment& in, std::vector<Fragment>& out) override {
        if (in.begins_token) {
            left_ = start_;
            held_.clear();
            fused_begun_ = false;
        }
        std::string_view text = in.text;
        while (left_ > 0 && text.starts_with(content_)) {
            text.remove_prefix(content_.size());
            --left_;
        }
        if (!text.empty()) left_ = 0;
        held_ += text;
        std::string certain = take_certain(in.ends_token);
        if (certain.empty() && !in.ends_token) return;
        out.push_back({std::move(certain), !fused_begun_, in.ends_token});
        fused_begun_ = true;
    }
    void finish(std::vector<Fragment>& /*out*/) override {}

private:
    // Of held_: all but what the token's end may strip; at the end, all that stays.
    std::string take_certain(bool ends) {
        size_t end = held_.size();
        for (size_t i = 0; i < stop_ && std::string_view(held_).substr(0, end).ends_with(content_);
             ++i) {
            end -= content_.size();
        }
        std::string certain = held_.substr(0, end);
        held_.erase(0, ends ? held_.size() : end);
        return certain;
    }

    std::string content_;
    size_t start_;
    size_t stop_;
    size_t left_ = 0;  // characters that may still be taken from this token's left
    bool fused_begun_ = false;
    std::string held_;
};

class ReplaceStage : public WholeTokenStage<ReplaceStage> {
public:
    explicit ReplaceStage(const JsonReader& component)
        : pattern_(component), content_(component.at("content").string()) {}

protected:
    void push_token(const std::string& token, std::vector<Fragment>& out) override {
        out.push_back({pattern_.replace_all(token, content_)});
    }

private:
    TextPattern pattern_;
    std::string content_;
};

class MetaspaceStage : public WholeTokenStage<MetaspaceStage> {
public:
    explicit MetaspaceStage(const JsonReader& component) : options_(read_metaspace(component)) {}

protected:
    void push_token(const std::string& token, std::vector<Fragment>& out) override {
        const std::string& mark = options_.replacement;
        const bool drop = first_ && options_.prepend != MetaspacePrepend::kNever;
        std::string text;
        for (size_t pos = 0; pos < token.size();) {
            if (token.compare(pos, mark.size(), mark) == 0) {
                if (!drop) text += ' ';
                pos += mark.size();
            } else {
                text += token[pos++];
            }
        }
        first_ = false;
        out.push_back({std::move(text)});
    }

private:
    MetaspaceOptions options_;
    bool first_ = true;
};

// The suffix that ends a word becomes a space, but behind the last token.
class BpeStage : public WholeTokenStage<BpeStage> {
public:
    explicit BpeStage(const JsonReader& component)
        : suffix_(component.string_or("suffix", "</w>")) {}
    void finish(std::vector<Fragment>& out) override {
        if (last_) out.push_back({replaced(*last_, "")});
        last_.reset();
    }

protected:
    void push_token(const std::string& token, std::vector<Fragment>& out) override {
        if (last_) out.push_back({replaced(*last_, " ")});
        last_ = token;
    }

private:
    [[nodiscard]] std::string replaced(const std::string& token, std::string_view with) const {
        if (suffix_.empty()) return token;
        std::string text;
        size_t copied = 0;
        for (size_t at = token.find(suffix_); at != std::string::npos;) {
            text.append(token, copied, at - copied).append(with);
            copied = at + suffix_.size();
            at = token.find(suffix_, copied);
        }
        return text.append(token, copied);
    }

    std::string suffix_;
    std::optional<std::string> last_;
};

}  // namespace

std::unique_ptr<DecodeStage> make_space_join_stage() { return std::make_unique<SpaceJoinStage>(); }
std::unique_ptr<DecodeStage> make_byte_level_stage() { return std::make_unique<ByteLevelStage>(); }

std::unique_ptr<DecodeStage> make_decode_stage(const JsonReader& component) {
    const std::string type = component.at("type").string();
    if (type == "ByteLevel") return make_byte_level_stage();
    if (type == "ByteFallback") return std::make_unique<ByteFallbackStage>();
    if (type == "Fuse") return std::make_unique<FuseStage>();
    if (type == "Strip") return std::make_unique<StripStage>(component);
    if (type == "Replace") return std::make_unique<ReplaceStage>(component);
    if (type == "Metaspace") return std::make_unique<MetaspaceStage>(component);
    if (type == "BPEDecoder") return std::make_unique<BpeStage>(component);
    unsupported_component("decoder", type, component);
}

}  // namespace lowkey
