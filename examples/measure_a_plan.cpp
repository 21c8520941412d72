// What plans cost and what they save, side by side:
//   measure_a_plan [MODEL TEXT_FILE]
#include <lowkey/lowkey.h>

#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

int main(int argc, char** argv) try {
    const auto model = lowkey::Model::load(argc > 1 ? argv[1] : "small");
    std::ifstream file(argc > 2 ? argv[2] : model.info().directory + "/sample.txt");
    const std::vector<std::string> texts = {{std::istreambuf_iterator<char>(file), {}}};

    const auto streaming =
        lowkey::Plan::make(model, "streaming", {.settings = {{"sink", 4}, {"window", 128}}});
    const auto h2o =
        lowkey::Plan::make(model, "h2o", {.settings = {{"recent", 128}, {"heavy", 128}}});

    std::printf("cache              perplexity   KL, nats   of the bytes   needles found\n");
    for (const auto& plan : {lowkey::Plan::uncompressed(model), streaming, h2o}) {
        // The second half of each window is decoded token by token, through the cache.
        const lowkey::Perplexity quality = lowkey::measure_perplexity(
            model, plan, texts.front(),
            {.length = 512, .sequences = 1, .prefill = 384, .reference = true});
        const lowkey::NeedleResult needles = lowkey::measure_needle(
            model, plan, texts, {.lengths = {512}, .depths = {0.5}, .trials = 2});
        std::printf("%-16s %12.2f %10.4f %13.0f%% %14.0f%%\n", plan.method().c_str(),
                    quality.perplexity, quality.reference->mean_kl, 100 * quality.cache.ratio(),
                    100 * needles.mean);
    }
} catch (const lowkey::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
}
