#include "kvcache/cache_step.h"

#include "base/parallel.h"

namespace lowkey {

template <typename Fn>
void CacheStep::for_heads(Fn fn) const {
    for (SequenceCache* cache : caches_) {
        for (int64_t layer = first_layer_; layer < end_layer_; ++layer) {
            for (int64_t h = 0; h < cache->layout().num_kv_heads(); ++h) fn(cache->head(layer, h));
        }
    }
}

CacheStep::~CacheStep() {
    for_heads([](HeadCache& head) { head.rollback(); });
}

void CacheStep::commit() {
    std::vector<HeadCache*> late;
    for_heads([&](HeadCache& head) {
        if (head.must_prepare()) late.push_back(&head);
    });
    parallel_for(std::ssize(late),
                 [&](int64_t i) { late[static_cast<size_t>(i)]->prepare_commit(); });
    // Nothing throws from here on.
    parallel_for(std::ssize(late), [&](int64_t i) { late[static_cast<size_t>(i)]->commit(); });
    for_heads([](HeadCache& head) { head.commit(); });
}

}  // namespace lowkey
