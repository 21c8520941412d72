#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "io/checkpoint.h"
#include "kvcache/cache_layout.h"
#include "model/model_config.h"
#include "tensor/linear.h"
#include "tensor/ops.h"

namespace lowkey {

/// The norms of a block, at the places that ModelConfig::norm_places names; empty at others.
struct BlockNorms {
    Norm before;
    Norm output;
    Norm after;
};

/// Parameters of one decoder layer. Models share layers that folding left as they were.
struct LayerWeights {
    BlockNorms attention_norms;
    std::shared_ptr<const Linear>
        q;  ///< hidden_size → for each query head the key_dim of its KV head
    std::shared_ptr<const Linear> k;  ///< hidden_size → key_dim of each KV head
    std::shared_ptr<const Linear> v;  ///< hidden_size → value_dim of each KV head
    std::shared_ptr<const Linear>
        o;        ///< for each query head the value_dim of its KV head → hidden_size
    Norm q_norm;  ///< over head_dim, or empty
    Norm k_norm;
    BlockNorms mlp_norms;
    std::shared_ptr<const Linear> gate;  ///< null when the MLP is not gated
    std::shared_ptr<const Linear> up;
    std::shared_ptr<const Linear> down;
    /// What each KV head caches: of head_dim, or of the ranks after folding. Their rotation is the
    /// model's affair.
    std::vector<CacheShape::Head> kv_heads;
};

/// Parameters of a model. Views into the checkpoint's mapped files where dtypes allow, so it lives
/// with them.
struct ModelWeights {
    std::shared_ptr<const Checkpoint> checkpoint;
    std::string fingerprint;            ///< of all bytes that were read (io/fingerprint.h)
    std::vector<std::string> warnings;  ///< what a user should know of the files, a sentence each
    TensorView embedding;               ///< [vocab_size, embedding_size], in the checkpoint's dtype
    std::vector<float>
        positions;  ///< [offset + max_position_embeddings, hidden_size], learned positions only
    std::shared_ptr<const Linear> project_in;   ///< embedding_size → hidden_size, or null
    std::shared_ptr<const Linear> project_out;  ///< hidden_size → embedding_size, or null
    std::vector<LayerWeights> layers;
    Norm final_norm;
    std::shared_ptr<const Linear> lm_head;  ///< embedding_size → vocab_size
};

/// Called while a model loads, with what is done and the whole: its layers and the output head.
using LoadProgress = std::function<void(int64_t done, int64_t total)>;

/// Reads all parameters that `config` asks for, linear layers as `dtype` (f32 or bf16).
/// What must be there follows from the files, too: names may lack their beginning, a model whose
/// embedding and output head are one may store either, and a head that differs is used.
/// Throws FileError naming the tensor when one is missing, has another shape (naming both) or is
/// not finite, UnsupportedError naming the method when weights are quantized. `on_progress` hears
/// of each layer that is there.
ModelWeights load_weights(std::shared_ptr<const Checkpoint> checkpoint, const ModelConfig& config,
                          DType dtype, const LoadProgress& on_progress = {});

}  // namespace lowkey
