#include "tokenizer/decoder.h"

#include "tokenizer/decode_stages.h"

namespace lowkey {

Decoder::Decoder() : Decoder(make_space_join_stage()) {}
Decoder::Decoder(const JsonReader& component) { add(component); }
Decoder::Decoder(std::unique_ptr<DecodeStage> stage) { stages_.push_back(std::move(stage)); }
Decoder Decoder::byte_level() { return Decoder(make_byte_level_stage()); }

Decoder::Decoder(const Decoder& other) {
    for (const auto& stage : other.stages_) stages_.push_back(stage->clone());
}

void Decoder::add(const JsonReader& component) {
    if (component.at("type").string() == "Sequence") {
        for (const JsonReader& part : component.at("decoders").items()) add(part);
    } else {
        stages_.push_back(make_decode_stage(component));
    }
}

std::string Decoder::run(std::vector<Fragment> fragments, size_t first_stage) {
    for (size_t i = first_stage; i < stages_.size(); ++i) {
        std::vector<Fragment> next;
        for (const Fragment& fragment : fragments) stages_[i]->push(fragment, next);
        fragments = std::move(next);
    }
    std::string text;
    for (const Fragment& fragment : fragments) text += fragment.text;
    return text;
}

std::string Decoder::push(std::string_view token) {
    return run({Fragment{.text = std::string(token)}}, 0);
}

std::string Decoder::finish() {
    std::string text;
    for (size_t i = 0; i < stages_.size(); ++i) {
        std::vector<Fragment> rest;
        stages_[i]->finish(rest);
        text += run(std::move(rest), i + 1);
    }
    return text;
}

}  // namespace lowkey
