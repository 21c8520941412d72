#include "tokenizer/bpe.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace lowkey {
namespace {

using nlohmann::json;

// A model of the letters a to d with random merges.
json random_model(std::mt19937& random, size_t num_merges) {
    json model = {{"type", "BPE"}, {"vocab", json::object()}, {"merges", json::array()}};
    std::vector<std::string> tokens = {"a", "b", "c", "d"};
    for (size_t i = 0; i < num_merges; ++i) {
        const std::string left = tokens[random() % tokens.size()];
        const std::string right = tokens[random() % tokens.size()];
        if (left.size() + right.size() > 12) continue;
        model["merges"].push_back({left, right});
        if (std::find(tokens.begin(), tokens.end(), left + right) == tokens.end())
            tokens.push_back(left + right);
    }
    for (size_t i = 0; i < tokens.size(); ++i) model["vocab"][tokens[i]] = i;
    return model;
}

// The definition: join the first pair in the list of merges, leftmost first, until none is left.
std::vector<int32_t> merge_by_definition(const json& model, const std::string& word) {
    std::vector<std::string> parts;
    for (const char c : word) parts.emplace_back(1, c);
    while (true) {
        size_t best_rank = SIZE_MAX;
        size_t best = 0;
        for (size_t i = 0; i + 1 < parts.size(); ++i) {
            // Of equal merges the last one counts.
            for (size_t rank = model["merges"].size(); rank-- > 0;) {
                if (model["merges"][rank] != json({parts[i], parts[i + 1]})) continue;
                if (rank < best_rank) {
                    best_rank = rank;
                    best = i;
                }
                break;
            }
        }
        if (best_rank == SIZE_MAX) break;
        parts[best] += parts[best + 1];
        parts.erase(parts.begin() + static_cast<ptrdiff_t>(best) + 1);
    }
    std::vector<int32_t> ids;
    for (const std::string& part : parts) ids.push_back(model["vocab"][part].get<int32_t>());
    return ids;
}

// Words around and far above the length where the scan gives way to cuts and the heap.
TEST(Bpe, MergesByDefinitionAtAnyLength) {
    std::mt19937 random(7);
    for (const size_t num_merges : {0, 1, 3, 12, 40}) {
        for (int round = 0; round < 4; ++round) {
            const json document = random_model(random, num_merges);
            const Bpe model(JsonReader(document, "test"));
            for (const size_t length : {1, 2, 3, 20, 47, 48, 49, 50, 150}) {
                std::string word;
                const size_t letters = 1 + random() % 4;
                while (word.size() < length)
                    word += static_cast<char>('a' + static_cast<int>(random() % letters));
                std::vector<int32_t> ids;
                model.append_ids(word, ids);
                EXPECT_EQ(ids, merge_by_definition(document, word)) << word << document["merges"];
            }
        }
    }
}

}  // namespace
}  // namespace lowkey
