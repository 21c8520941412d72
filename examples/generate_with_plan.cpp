// Learns how far a model's cache can shrink, and writes with a cache of that size:
//   generate_with_plan [MODEL [PROMPT]]
#include <lowkey/lowkey.h>

#include <cstdio>
#include <string_view>

int main(int argc, char** argv) try {
    const auto model = lowkey::Model::load(argc > 1 ? argv[1] : "small");

    // Low-rank keys and values, 60 % of the bytes, learned from texts that the model writes.
    lowkey::PlanOptions options;
    options.settings = {{"keep", 0.6}, {"allocation", "uniform"}};
    options.statistics = lowkey::Statistics::from_model(model, {.sequences = 8, .length = 256});
    const auto plan = lowkey::Plan::make(model, "eigen", options);
    plan.save("small.plan");  // for later: lowkey::Plan::load("small.plan")

    lowkey::Session session(model, plan);
    lowkey::GenerationOptions how;
    how.max_new_tokens = 580;  // the cache comes in pages, which short texts do not fill
    how.stop_at_eos = false;
    how.sampling = {.temperature = 0.8, .top_p = 0.95, .seed = 1};
    how.on_text = [](std::string_view text) {
        std::fwrite(text.data(), 1, text.size(), stdout);
        std::fflush(stdout);
    };
    session.generate(argc > 2 ? argv[2] : "The old man opened the letter and read it", how);

    const lowkey::CacheUsage cache = session.usage();
    std::printf("\n\n%lld tokens in %lld bytes of cache, %.0f %% of an uncompressed one\n",
                static_cast<long long>(cache.tokens), static_cast<long long>(cache.bytes_allocated),
                100 * cache.ratio());
} catch (const lowkey::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
}
