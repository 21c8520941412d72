// A cache-compression method of your own, in forty lines: every head remembers as far back as it
// looks. "reach" observes where the attention of each head goes, and gives the head the window that
// holds a share of it:
//   write_a_planner [MODEL [TEXT_FILE]]
#include <lowkey/lowkey.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <numeric>
#include <string>
#include <vector>

namespace {

constexpr int64_t kSinks = 4;  // first tokens get attention whatever they say: all heads keep them

/// Adds the attention of one query to other tokens, by how far back they are.
void add_attention(const lowkey::LayerVectors& seen, int64_t token, int64_t head,
                   std::vector<double>& by_distance) {
    const auto q = seen.query(token, head);
    std::vector<double> weights;  // of tokens, the query's own last
    for (int64_t past = 0; past <= token; ++past) {
        const auto k = seen.key(past, head * seen.num_kv_heads / seen.num_heads);
        const double score = std::inner_product(q.begin(), q.end(), k.begin(), 0.0);
        weights.push_back(std::exp(seen.softmax_scale * score));
    }
    const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
    for (size_t past = kSinks; past < weights.size(); ++past)
        by_distance[weights.size() - 1 - past] += weights[past] / sum;
}

lowkey::Plan make_reach_plan(const lowkey::Model& model, const std::vector<int32_t>& text,
                             double share) {
    auto plan = lowkey::Plan::uncompressed(model);
    plan.set_method("reach");
    plan.record("share", share);
    lowkey::observe(model, text, [&](const lowkey::LayerVectors& seen) {
        const int64_t group = seen.num_heads / seen.num_kv_heads;
        for (int64_t kv_head = 0; kv_head < seen.num_kv_heads; ++kv_head) {
            std::vector<double> by_distance(text.size());
            for (int64_t head = kv_head * group; head < (kv_head + 1) * group; ++head)
                for (int64_t token = seen.num_tokens / 2; token < seen.num_tokens; token += 16)
                    add_attention(seen, token, head, by_distance);
            double missing = share * std::accumulate(by_distance.begin(), by_distance.end(), 0.0);
            int64_t window = 0;
            while (missing > 0 && window < seen.num_tokens)
                missing -= by_distance[static_cast<size_t>(window++)];
            plan.set_head(seen.layer, kv_head,
                          {.policy = {"window", {{"sinks", kSinks}, {"window", window}}}});
        }
    });
    return plan;
}

}  // namespace

int main(int argc, char** argv) try {
    const auto model = lowkey::Model::load(argc > 1 ? argv[1] : "small");
    std::ifstream file(argc > 2 ? argv[2] : model.info().directory + "/sample.txt");
    auto text = model.tokenize(std::string(std::istreambuf_iterator<char>(file), {}));
    text.resize(std::min<size_t>(text.size(), 1024));

    const auto plan = make_reach_plan(model, text, 0.95);
    plan.check(model);
    for (int64_t layer = 0; layer < plan.num_layers(); ++layer) {
        std::printf("layer %2lld, windows:", static_cast<long long>(layer));
        for (int64_t head = 0; head < plan.num_kv_heads(); ++head) {
            const auto policy = plan.head(layer, head).policy;
            std::printf(" %4lld",
                        static_cast<long long>(std::get<int64_t>(policy.settings.at("window"))));
        }
        std::printf("\n");
    }
    const lowkey::PlanBytes bytes = plan.bytes(model.info().max_context);
    std::printf("%.0f %% of the cache at %lld tokens\n",
                100.0 * static_cast<double>(bytes.allocated) / static_cast<double>(bytes.full),
                static_cast<long long>(model.info().max_context));
    plan.save("reach.plan");  // for `lowkey inspect`, and for --plan of every command
} catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
}
