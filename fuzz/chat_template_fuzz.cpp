// Any chat template is either refused with an Error or renders a conversation, within its limits.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/error.h"
#include "jinja/json.h"
#include "jinja/template.h"

namespace {

constexpr std::string_view kVariables = R"({
    "messages": [{"role": "system", "content": "Be brief."},
                 {"role": "user", "content": " h\u00e9llo \n \ud83d\ude00 <b>"},
                 {"role": "assistant", "content": "", "tool_calls": [
                     {"function": {"name": "f", "arguments": {"a": [1, 2.5, null, true], "b": {}}}}]}],
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"x": "y"}}}],
    "documents": null, "add_generation_prompt": true, "bos_token": "<s>", "eos_token": "</s>"})";
// An input should take milliseconds.
constexpr lowkey::jinja::Limits kLimits = {.max_steps = 20'000, .max_text_bytes = 1 << 20};

}  // namespace

// NOLINTNEXTLINE(readability-identifier-naming): libFuzzer calls it by this name
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    static const lowkey::jinja::Value variables = lowkey::jinja::from_json(kVariables, "variables");
    const std::string_view source{reinterpret_cast<const char*>(data), size};
    try {
        const lowkey::jinja::Template chat_template(source, "fuzz");
        static_cast<void>(chat_template.render(variables.dict(), kLimits));
    } catch (const lowkey::Error&) {
        // Refused, as most inputs must be.
    }
    return 0;
}
