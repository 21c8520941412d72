#include "tokenizer/normalizer.h"

#include <map>
#include <vector>

#include "base/code_points.h"
#include "base/unicode.h"
#include "tokenizer/component.h"
#include "tokenizer/text_pattern.h"

namespace lowkey {
namespace {

class SequenceNormalizer : public Normalizer {
public:
    explicit SequenceNormalizer(const JsonReader& component) {
        for (const JsonReader& part : component.at("normalizers").items())
            parts_.push_back(make_normalizer(part));
    }
    [[nodiscard]] std::string apply(std::string text) const override {
        for (const auto& part : parts_) text = part->apply(std::move(text));
        return text;
    }

private:
    std::vector<std::unique_ptr<Normalizer>> parts_;
};

class FormNormalizer : public Normalizer {
public:
    explicit FormNormalizer(NormalForm form) : form_(form) {}
    [[nodiscard]] std::string apply(std::string text) const override {
        return normalize(text, form_);
    }

private:
    NormalForm form_;
};

class LowercaseNormalizer : public Normalizer {
public:
    [[nodiscard]] std::string apply(std::string text) const override { return to_lowercase(text); }
};

class PrependNormalizer : public Normalizer {
public:
    explicit PrependNormalizer(const JsonReader& component)
        : prefix_(component.at("prepend").string()) {}
    [[nodiscard]] std::string apply(std::string text) const override {
        return text.empty() ? text : prefix_ + text;
    }

private:
    std::string prefix_;
};

class ReplaceNormalizer : public Normalizer {
public:
    explicit ReplaceNormalizer(const JsonReader& component)
        : pattern_(component), content_(component.at("content").string()) {}
    [[nodiscard]] std::string apply(std::string text) const override {
        return pattern_.replace_all(text, content_);
    }

private:
    TextPattern pattern_;
    std::string content_;
};

class StripNormalizer : public Normalizer {
public:
    explicit StripNormalizer(const JsonReader& component)
        : left_(component.boolean_or("strip_left", true)),
          right_(component.boolean_or("strip_right", true)) {}
    [[nodiscard]] std::string apply(std::string text) const override {
        size_t begin = 0;
        size_t end = 0;  // of what is not white space; 0: all is
        for (size_t pos = 0; pos < text.size();) {
            const size_t start = pos;
            if (is_white_space(next_code_point(text, pos))) continue;
            if (end == 0) begin = start;
            end = pos;
        }
        if (end == 0) return left_ || right_ ? std::string() : text;
        if (!left_) begin = 0;
        if (!right_) end = text.size();
        return text.substr(begin, end - begin);
    }

private:
    bool left_;
    bool right_;
};

class StripAccentsNormalizer : public Normalizer {
public:
    [[nodiscard]] std::string apply(std::string text) const override {
        std::string out;
        out.reserve(text.size());
        for (size_t pos = 0; pos < text.size();) {
            const size_t start = pos;
            if (accents_[next_code_point(text, pos)] == 0) out.append(text, start, pos - start);
        }
        return out;
    }

private:
    // The marks of an older Unicode than the one that regular expressions know.
    CodePointMap accents_{*CodePointSet::with_property("tokenizers accents")};
};

}  // namespace

std::unique_ptr<Normalizer> make_normalizer(const JsonReader& component) {
    const std::string type = component.at("type").string();
    static const std::map<std::string, NormalForm> forms = {{"NFC", NormalForm::kNfc},
                                                            {"NFD", NormalForm::kNfd},
                                                            {"NFKC", NormalForm::kNfkc},
                                                            {"NFKD", NormalForm::kNfkd}};
    if (const auto form = forms.find(type); form != forms.end())
        return std::make_unique<FormNormalizer>(form->second);
    if (type == "Sequence") return std::make_unique<SequenceNormalizer>(component);
    if (type == "Lowercase") return std::make_unique<LowercaseNormalizer>();
    if (type == "Prepend") return std::make_unique<PrependNormalizer>(component);
    if (type == "Replace") return std::make_unique<ReplaceNormalizer>(component);
    if (type == "Strip") return std::make_unique<StripNormalizer>(component);
    if (type == "StripAccents") return std::make_unique<StripAccentsNormalizer>();
    unsupported_component("normalizer", type, component);
}

std::unique_ptr<Normalizer> make_nfc_normalizer() {
    return std::make_unique<FormNormalizer>(NormalForm::kNfc);
}

}  // namespace lowkey
