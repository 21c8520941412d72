#include "model/families/baichuan.h"

#include "model/families/llama.h"
#include "tensor/alibi.h"

namespace lowkey {
namespace {

constexpr int64_t kBaichuan1Vocabulary = 64000;

ModelConfig read_config(const JsonReader& config) {
    ModelConfig c = read_llama_config(config);
    c.num_kv_heads = c.num_heads;
    c.qkv_bias = c.o_bias = c.mlp_bias = false;
    c.normalize_lm_head = c.vocab_size != kBaichuan1Vocabulary;
    // Nothing else tells the 13B models, which have ALiBi, from the 7B ones.
    if (!config.has("max_position_embeddings")) {
        c.positions = ModelConfig::Positions::kAlibi;
        c.alibi_slopes = alibi_slopes(c.num_heads);
        c.max_position_embeddings = config.integer_or("model_max_length", 4096, 1, kMaxModelSize);
    }
    return c;
}

}  // namespace

Family baichuan_family() {
    TensorNames names;
    names.qkv = "layers.{}.self_attn.W_pack";
    return {"baichuan", read_config, names};
}

}  // namespace lowkey
