// Items and the journal that keeps them.
#include "eval/items.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/io/temporary_folder.h"

namespace lowkey {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Items : public TemporaryFolder {
protected:
    static constexpr int64_t kCount = 7;

    static ItemResult result(int64_t item) {
        return {.scores = {{"score", 1.0 / static_cast<double>(item + 3)}, {"other", -0.1}},
                .answer = item == 2 ? "a \"b\"\n\xff" : "",
                .cache = {.bytes_allocated = 10 * item,
                          .bytes_full = 20 * item,
                          .tokens = item == 4 ? 100 : item,
                          .peak_bytes = 1000 - item}};
    }
    /// All items; `ran` are those that were not there.
    std::vector<ItemResult> run(const ItemOptions& options) {
        ran_.clear();
        return results_of(run_items(items(), 1, options), 0);
    }
    /// Items of one cache.
    [[nodiscard]] std::vector<EvalItem> items() {
        std::vector<EvalItem> items;
        for (int64_t item = 0; item < kCount; ++item) {
            const auto run = [this, item] {
                ran_.push_back(item);
                return std::vector<ItemResult>{result(item)};
            };
            items.push_back({.scores = names_, .run = run, .label = "i" + std::to_string(item)});
        }
        return items;
    }
    /// A journal with the first `count` items, after a stop.
    void begin(int64_t count) {
        Journal journal(path_, settings_);
        ItemOptions options{.journal = &journal};
        options.should_stop = [&] { return std::ssize(ran_) == count; };
        EXPECT_THAT(message_of<Error>([&] { run(options); }),
                    AllOf(HasSubstr("stopped after " + std::to_string(count) + " of 7 items"),
                          HasSubstr(path_), HasSubstr("same command")));
    }
    [[nodiscard]] std::string refusal(const json& settings) const {
        return message_of<UsageError>([&] { const Journal journal(path_, settings); });
    }
    [[nodiscard]] std::string broken() const {
        return message_of<FileError>([&] { const Journal journal(path_, settings_); });
    }

    std::vector<std::string> names_ = {"score", "other"};
    std::string path_ = path("items.jsonl");
    json settings_ = {{"evaluation", "test"}, {"limit", 7}, {"plan", nullptr}};
    std::vector<int64_t> ran_;
};

TEST_F(Items, RunInOrderAndReportTheirMean) {
    std::vector<double> means;
    std::vector<int64_t> dones;
    ItemOptions options;
    std::vector<std::string> nexts;
    options.on_progress = [&](const ItemProgress& now) {
        EXPECT_EQ(now.total, kCount);
        EXPECT_DOUBLE_EQ(now.share, static_cast<double>(now.done) / kCount);
        dones.push_back(now.done);
        means.push_back(now.mean);
        nexts.push_back(now.next);
    };
    const std::vector<ItemResult> results = run(options);
    EXPECT_THAT(dones, ElementsAre(0, 1, 2, 3, 4, 5, 6, 7));
    EXPECT_THAT(nexts, ElementsAre("i0", "i1", "i2", "i3", "i4", "i5", "i6", ""));
    EXPECT_DOUBLE_EQ(means[2], (1.0 / 3 + 1.0 / 4) / 2);
    EXPECT_DOUBLE_EQ(means.back(), mean_score(results, "score"));
    EXPECT_DOUBLE_EQ(mean_score(results, "other"), -0.1);
    EXPECT_EQ(largest_cache(results).tokens, 100);
    EXPECT_EQ(largest_cache(results).bytes_allocated, 40);
    EXPECT_EQ(largest_cache(results).peak_bytes, 1000);
}

TEST_F(Items, AResumedRunEqualsAWholeOne) {
    const std::vector<ItemResult> whole = run({});
    begin(4);
    Journal journal(path_, settings_);
    std::vector<int64_t> dones;
    const std::vector<ItemResult> resumed =
        run({.journal = &journal,
             .on_progress = [&](const ItemProgress& now) { dones.push_back(now.done); }});
    EXPECT_THAT(ran_, ElementsAre(4, 5, 6));
    EXPECT_THAT(dones, ElementsAre(4, 5, 6, 7));
    for (size_t i = 0; i < whole.size(); ++i) {
        EXPECT_EQ(resumed[i].scores, whole[i].scores) << "bit for bit";
        EXPECT_EQ(resumed[i].cache.tokens, whole[i].cache.tokens);
        EXPECT_EQ(resumed[i].cache.bytes_full, whole[i].cache.bytes_full);
    }
    EXPECT_EQ(resumed[2].answer, "a \"b\"\n\xEF\xBF\xBD") << "what is no UTF-8 is replaced";
    EXPECT_EQ(largest_cache(resumed).peak_bytes, largest_cache(whole).peak_bytes);
}

TEST_F(Items, WithoutAJournalAStopSaysHowToKeepItems) {
    ItemOptions options;
    options.should_stop = [&] { return std::ssize(ran_) == 3; };
    EXPECT_THAT(message_of<Error>([&] { run(options); }),
                AllOf(HasSubstr("stopped after 3 of 7 items"), HasSubstr("--resume FILE")));
}

TEST_F(Items, WhatFailsKeepsWhatIsFinished) {
    {
        Journal journal(path_, settings_);
        std::vector<EvalItem> all = items();
        all[3].run = []() -> std::vector<ItemResult> { throw Error("no", "", ""); };
        EXPECT_THROW(run_items(all, 1, {.journal = &journal}), Error);
    }
    EXPECT_EQ(Journal(path_, settings_).finished().size(), 3);
}

TEST_F(Items, ALineTornByAKilledProcessIsCutOff) {
    begin(4);
    const std::string text = read("items.jsonl");
    const size_t last = text.rfind('\n', text.size() - 2) + 1;
    for (const size_t kept : {text.size() - 1, last + 5, last}) {
        static_cast<void>(file("items.jsonl", text.substr(0, kept)));
        {
            Journal journal(path_, settings_);
            EXPECT_EQ(journal.finished().size(), 3);
            run({.journal = &journal});
        }
        EXPECT_THAT(ran_, ElementsAre(3, 4, 5, 6));
        EXPECT_EQ(Journal(path_, settings_).finished().size(), 7);
    }
    // Even the first line.
    static_cast<void>(file("items.jsonl", text.substr(0, 10)));
    EXPECT_EQ(Journal(path_, settings_).finished().size(), 0);
    EXPECT_EQ(read("items.jsonl"), text.substr(0, text.find('\n') + 1));
}

TEST_F(Items, OtherSettingsAreRefusedByName) {
    begin(4);
    const std::string text = read("items.jsonl");
    json other = settings_;
    other["limit"] = 100;
    other["plan"] = "ab";
    EXPECT_THAT(refusal(other), AllOf(HasSubstr("limit is 7 there, now 100"),
                                      HasSubstr("plan is null there, now \"ab\""), HasSubstr(path_),
                                      HasSubstr("--resume")));
    other = settings_;
    other.erase("limit");
    EXPECT_THAT(refusal(other), HasSubstr("limit is 7 there, now null"));
    EXPECT_EQ(read("items.jsonl"), text) << "a refusal changes nothing";
}

TEST_F(Items, AnotherPlanIsRefusedByItsFile) {
    settings_["plan"] = "ab";
    settings_["plan_files"] = {"eigen.plan"};
    begin(4);
    json other = settings_;
    other["plan_files"] = {"elsewhere/eigen.plan"};
    EXPECT_EQ(Journal(path_, other).finished().size(), 4) << "the same plan by another name";
    other["plan"] = {"ab", "cd"};
    other["plan_files"] = {"eigen.plan", "razor.plan"};
    EXPECT_THAT(refusal(other),
                AllOf(HasSubstr(R"(plan is "eigen.plan" ("ab") there, now )"
                                R"("eigen.plan" ("ab") and "razor.plan" ("cd"))"),
                      HasSubstr("give the same ones, or name another file for --resume")));
    other["plan"] = nullptr;
    other["plan_files"] = json::array();
    EXPECT_THAT(refusal(other), HasSubstr("there, now null"));
}

TEST_F(Items, AnItemOfSeveralCachesIsWholeOrRunsAgain) {
    int64_t runs = 0;
    const auto run = [&runs] {
        ++runs;
        return std::vector<ItemResult>{{.scores = {{"score", 1}}}, {.scores = {{"score", 0}}}};
    };
    const std::vector<EvalItem> items(3, EvalItem{.scores = {"score"}, .run = run});
    {
        Journal journal(path_, settings_);
        run_items(items, 2, {.journal = &journal});
        EXPECT_EQ(journal.finished().size(), 6);
    }
    const std::string text = read("items.jsonl");
    static_cast<void>(file("items.jsonl", text.substr(0, text.size() - 20)));
    Journal journal(path_, settings_);
    double mean = 0;
    const ItemResults results = run_items(
        items, 2,
        {.journal = &journal, .on_progress = [&](const ItemProgress& now) { mean = now.mean; }});
    EXPECT_EQ(runs, 3 + 1);
    EXPECT_EQ(mean, 0.5) << "of all caches";
    EXPECT_EQ(mean_score(results_of(results, 1), "score"), 0);
}

TEST_F(Items, OneProcessWritesAtATime) {
    const Journal first(path_, settings_);
    EXPECT_THAT(refusal(settings_), HasSubstr("another evaluation is writing"));
}

TEST_F(Items, FilesThatAreNoJournalsStayAsTheyAre) {
    for (const std::string text : {"precious", "precious\n", "{\"goal\":\"x\"}\n", "[1]\n", "\n"}) {
        static_cast<void>(file("items.jsonl", text));
        EXPECT_THAT(broken(), HasSubstr(path_));
        EXPECT_EQ(read("items.jsonl"), text);
    }
    path_ = path("missing/items.jsonl");
    EXPECT_THAT(broken(), HasSubstr("cannot open file"));
}

TEST_F(Items, MalformedLinesAreNamed) {
    const std::string first = settings_.dump() + "\n";
    for (const char* line :
         {"nonsense", "{}", R"({"item":-1,"scores":{}})", R"({"item":1,"scores":{"score":"x"}})",
          R"({"item":1,"scores":{},"cache":{"bytes_allocated":-5}})"}) {
        static_cast<void>(file("items.jsonl", first + line + "\n"));
        EXPECT_THAT(broken(), HasSubstr("items.jsonl:2")) << line;
    }
}

TEST_F(Items, ItemsOfAnotherEvaluationAreRefused) {
    for (const auto& [item, scores] :
         std::map<int64_t, std::map<std::string, double>>{{kCount, {{"score", 1}, {"other", 1}}},
                                                          {0, {{"score", 1}}},
                                                          {1, {{"score", 1}, {"third", 1}}}}) {
        std::filesystem::remove(path_);
        Journal journal(path_, settings_);
        journal.add(item, {.scores = scores});
        EXPECT_THAT(message_of<FileError>([&] { run({.journal = &journal}); }),
                    HasSubstr("item " + std::to_string(item)));
    }
}

}  // namespace
}  // namespace lowkey
