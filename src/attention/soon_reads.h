#pragma once

#include <algorithm>

#include "kernels/kernels.h"
#include "kvcache/head_cache.h"

namespace lowkey {

/// What of the next page is asked for in each step of the work on a page.
struct SoonReads {
    SoonRead scores;
    SoonRead softmax;
    SoonRead sums;
};

/// Gives each step as much of the next page as it takes of the time, so that memory is not waited
/// for in one while it rests in another. `rows` query rows see the page.
inline SoonReads share_out(const PageView& next, const PageView& page, int64_t rows) {
    // Softmax of a token takes as long as its products with so many bytes of keys or values.
    constexpr int64_t kSoftmaxBytes = 24;
    if (next.keys + next.key_bytes != next.values)
        return {{next.keys, next.key_bytes}, {}, {next.values, next.value_bytes}};
    const int64_t bytes = next.key_bytes + next.value_bytes;
    const int64_t page_bytes = page.key_bytes + page.value_bytes;
    const int64_t softmax_bytes = page.num_tokens * kSoftmaxBytes;
    // Of more bytes than those of its numbers, softmax would ask for the first only.
    const int64_t softmax = std::min(bytes * softmax_bytes / (page_bytes + softmax_bytes),
                                     rows * page.num_tokens * int64_t{sizeof(float)});
    const int64_t scores = (bytes - softmax) * page.key_bytes / page_bytes;
    return {{next.keys, scores},
            {next.keys + scores, softmax},
            {next.keys + scores + softmax, bytes - scores - softmax}};
}

}  // namespace lowkey
