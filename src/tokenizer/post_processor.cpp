#include "tokenizer/post_processor.h"

#include "tokenizer/component.h"

namespace lowkey {
namespace {

int32_t read_id(const JsonReader& id) {
    return static_cast<int32_t>(id.integer(0, kMaxTokenIds - 1));
}

PostProcessor read_template(const JsonReader& component) {
    PostProcessor out;
    bool text_seen = false;
    const JsonReader single = component.at("single");
    for (const JsonReader& part : single.items()) {
        if (part.has("Sequence")) {
            if (text_seen) single.fail("the template has the text twice");
            text_seen = true;
            continue;
        }
        const std::string name = part.at("SpecialToken").at("id").string();
        for (const JsonReader& id : component.at("special_tokens").at(name).at("ids").items()) {
            (text_seen ? out.behind : out.before).push_back(read_id(id));
        }
    }
    if (!text_seen) single.fail("the template has no place for the text");
    return out;
}

int32_t read_token_and_id(const JsonReader& pair) {
    const auto items = pair.items();
    if (items.size() != 2) pair.fail("expected a token and its id");
    return read_id(items[1]);
}

}  // namespace

PostProcessor read_post_processor(const JsonReader& component) {
    const std::string type = component.at("type").string();
    if (type == "ByteLevel") return {};  // concerns offsets only
    if (type == "TemplateProcessing") return read_template(component);
    if (type == "RobertaProcessing" || type == "BertProcessing") {
        return {{read_token_and_id(component.at("cls"))}, {read_token_and_id(component.at("sep"))}};
    }
    if (type != "Sequence") unsupported_component("post-processor", type, component);
    PostProcessor out;
    for (const JsonReader& part : component.at("processors").items()) {
        const PostProcessor outer = read_post_processor(part);
        out.before.insert(out.before.begin(), outer.before.begin(), outer.before.end());
        out.behind.insert(out.behind.end(), outer.behind.begin(), outer.behind.end());
    }
    return out;
}

}  // namespace lowkey
