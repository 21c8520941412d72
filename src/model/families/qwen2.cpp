#include "model/families/qwen2.h"

#include "base/error.h"
#include "model/families/llama.h"

namespace lowkey {
namespace {

ModelConfig read_config(const JsonReader& config) {
    ModelConfig c = read_llama_config(config);
    c.qkv_bias = true;  // no key says so
    c.o_bias = false;
    if (config.boolean_or("use_sliding_window", false)) {
        throw UnsupportedError("sliding windows (use_sliding_window) are not supported",
                               config.file(), "use a checkpoint without them");
    }
    return c;
}

}  // namespace

Family qwen2_family() { return {"qwen2", read_config, {}}; }

}  // namespace lowkey
