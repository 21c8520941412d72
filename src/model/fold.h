#pragma once

#include <memory>

#include "kvcache/cache_layout.h"
#include "kvcache/plan.h"
#include "model/model.h"

namespace lowkey {

/// A model and a plan that mean the same as another pair, with linear codecs multiplied into the
/// weights.
struct FoldedModel {
    std::shared_ptr<const Model> model;
    CachePlan plan;
    std::shared_ptr<const CacheLayout> layout;  ///< of the plan, for the model
};

/// Multiplies every codec's linear maps into the weights where nothing comes between them, and
/// leaves the codec of the coordinates in the plan: Wq ← Wq decodeᵀ and Wk ← Wk encode where
/// positions do not rotate keys, Wv ← Wv encode and Wo ← decode Wo always. Attention then runs at
/// the ranks. A head keeps its codec when it has exact sinks, when the prompt is attended to
/// exactly or when vectors are clipped (keys also when they are normalized), since all need whole
/// vectors. Returns the given pair when nothing folds. Source: Eigen Attention (arXiv 2408.05646),
/// section 3.3. Throws what CacheLayout throws when the plan does not fit.
FoldedModel fold(const std::shared_ptr<const Model>& model, const CachePlan& plan);

}  // namespace lowkey
