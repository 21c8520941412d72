#pragma once

#include <string>

#include "report/comparison_report.h"

namespace lowkey {

inline CacheUsage usage_of(double ratio, int64_t tokens) {
    const int64_t full = 1000 * tokens;
    return {.bytes_allocated = static_cast<int64_t>(ratio * static_cast<double>(full)),
            .bytes_full = full,
            .tokens = tokens,
            .peak_bytes = full};
}

/// A row with everything measured: `change` of nats per token, and so many of four needles.
inline ComparedCache sample_cache(const std::string& name, double ratio, double change,
                                  int64_t needles, double speed) {
    ComparedCache cache;
    cache.name = name;
    if (name != "full") cache.method = "eigen";
    cache.memory = {usage_of(ratio, 1024), usage_of(ratio, 4096)};
    cache.text = TextScore{.nll = 3 + change,
                           .change = change,
                           .change_error = 0.001,
                           .kl = change,
                           .top1 = 0.9,
                           .cache = usage_of(ratio, 2048)};
    cache.needle.emplace();
    for (int64_t i = 0; i < 4; ++i) cache.needle->found.push_back(i < needles);
    cache.needle->cache = usage_of(ratio, 4000);
    cache.task.emplace();
    cache.task->right = {true, false, true, true};
    const double share = speed / 50;
    cache.speed = {{.depth = 0,
                    .tokens_per_second = 100,
                    .attention_seconds = 0.001,
                    .share_low = 0.97,
                    .share_high = 1.02},
                   {.depth = 4096,
                    .tokens_per_second = speed,
                    .attention_seconds = 0.004,
                    .share = share,
                    .share_low = share - 0.02,
                    .share_high = share + 0.02}};
    cache.samples = {"once upon a time"};
    return cache;
}

/// Three caches: the uncompressed one, one at no loss, one that loses everything.
inline ComparisonReport sample_report() {
    ComparisonReport report;
    report.model = "model";
    report.version = "1.2.3";
    report.num_layers = 2;
    report.num_heads = 2;
    report.num_kv_heads = 1;
    report.head_dim = 64;
    report.kv_bytes_per_token = 1000;
    report.command = "lowkey compare model";
    report.text_name = "text.txt";
    report.windows = 2;
    report.window_length = 2048;
    report.window_prefill = 1024;
    report.targets = 2046;
    report.text_scored = "tokens decoded through the cache after a prompt of 1024";
    report.speed_steps = 16;
    report.speed_repeats = 5;
    report.needles = {{1000, 0}, {1000, 0}, {4000, 0}, {4000, 0.5}};
    report.task_name = "piqa";
    report.lengths = {1024, 4096};
    report.prompts = {{.name = "A prompt", .end = "… the end", .tokens = 7}};
    report.caches = {sample_cache("full", 1, 0, 4, 50), sample_cache("good", 0.5, 0, 4, 60),
                     sample_cache("bad", 0.6, 0.2, 1, 30)};
    for (ComparedCache& cache : report.caches) {
        if (cache.method.empty()) continue;
        cache.layers = {{{32}, {16}, 0.01}, {{64}, {64}, 0.02}};
        cache.head_scores = {{.name = "echo",
                              .values = {{0.1, 0.2}, {0.3, 0.9}},
                              .kept_whole = {{false, false}, {true, true}}}};
    }
    return report;
}

}  // namespace lowkey
