// The pages that a comparison is told on: HTML, Markdown, JSON.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "report/html.h"
#include "report/markdown.h"
#include "tests/report/sample_report.h"
#include "tests/report/well_formed.h"

namespace lowkey {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

const std::string kHostile = "</td><script>alert('x')</script>&\"`|*\x01\xff";

/// Every text that a user or a model may choose says something hostile.
ComparisonReport hostile_report() {
    ComparisonReport report = sample_report();
    for (std::string* text : {&report.model, &report.architecture, &report.version,
                              &report.processor, &report.isa, &report.command, &report.text_name,
                              &report.task_name, &report.model_fingerprint, &report.dtype})
        *text = kHostile;
    report.prompts = {{.name = kHostile, .end = kHostile, .tokens = 3}};
    for (ComparedCache& cache : report.caches) {
        cache.name = cache.method.empty() ? "full" : kHostile;
        for (std::string* text : {&cache.file, &cache.hash, &cache.command}) *text = kHostile;
        cache.samples = {kHostile + cache.name};
        for (HeadScores& scores : cache.head_scores) scores.name = kHostile;
    }
    return report;
}

TEST(Report, ThePageIsWellFormedAndHasItsParts) {
    const std::string page = report_html(sample_report());
    EXPECT_EQ(xml_fault(page), "");
    for (const char* part :
         {"What it says", "All caches", "Quality against bytes", "Needles", "Bytes and speed",
          "Ranks and errors", "Heads that look back", "What they write", "To repeat it",
          "lowkey compare model", "prefers-color-scheme: dark", "22.1 %", "3 of 4 needles lost"})
        EXPECT_THAT(page, HasSubstr(part));
}

TEST(Report, ThePageNeedsNoNetwork) {
    const std::string page = report_html(sample_report());
    for (const char* outside : {"http:", "https:", "src=", "url(", "@import", "<link", "<script"})
        EXPECT_THAT(page, Not(HasSubstr(outside)));
}

TEST(Report, TextIsEscapedEverywhere) {
    const std::string page = report_html(hostile_report());
    EXPECT_EQ(xml_fault(page), "");
    EXPECT_THAT(page, AllOf(Not(HasSubstr("<script>")), HasSubstr("&lt;script&gt;")));
    const std::string summary = report_markdown(hostile_report());
    EXPECT_THAT(summary, HasSubstr("\\<script\\>"));
    // Only in the block of code, whose fence it cannot close, does it stand as it is.
    EXPECT_EQ(summary.find("<script>"), summary.rfind("<script>"));
    EXPECT_GT(summary.find("<script>"), summary.find("```"));
}

TEST(Report, WhatWasNotMeasuredIsLeftOut) {
    ComparisonReport report = sample_report();
    for (ComparedCache& cache : report.caches) {
        cache.needle.reset();
        cache.task.reset();
        cache.speed.clear();
        cache.samples.clear();
        cache.layers.clear();
        cache.head_scores.clear();
    }
    report.needles.clear();
    report.prompts.clear();
    const std::string page = report_html(report);
    EXPECT_EQ(xml_fault(page), "");
    EXPECT_THAT(page, AllOf(Not(HasSubstr("Needles")), Not(HasSubstr("tokens/s")),
                            Not(HasSubstr("Heads that look back"))));
    EXPECT_EQ(xml_fault(report_html(ComparisonReport())), "");
    EXPECT_THAT(report_markdown(ComparisonReport()), HasSubstr("###"));
}

TEST(Report, SamplesAreMarkedFromWhereTheyDiffer) {
    ComparisonReport report = sample_report();
    report.caches[0].samples = {"näive man"};
    report.caches[1].samples = {"näive man"};
    report.caches[2].samples = {"nàive man"};  // differs inside a character's bytes
    const std::string page = report_html(report);
    EXPECT_THAT(page, AllOf(HasSubstr("word for word"), HasSubstr("n<mark>àive man</mark>")));
}

TEST(Report, TheSummaryIsOneTableWithARowPerCache) {
    const std::string summary = report_markdown(sample_report());
    EXPECT_THAT(summary, AllOf(HasSubstr("| good | "), HasSubstr("nothing seen"),
                               HasSubstr("**3 of 4 needles lost**"), HasSubstr("| 4 / 4 |"),
                               HasSubstr("lowkey compare model")));
    size_t pipes = 0;
    for (size_t at = summary.find("\n|"); at != std::string::npos; at = summary.find("\n|", at + 1))
        ++pipes;
    EXPECT_EQ(pipes, 5u) << summary;
}

TEST(Report, JsonHasAllNumbers) {
    const nlohmann::json json = to_json(sample_report());
    ASSERT_EQ(json.at("caches").size(), 3u);
    const auto& bad = json.at("caches")[2];
    EXPECT_EQ(bad.at("needle").at("found"), 1);
    EXPECT_EQ(bad.at("needle").at("grid").size(), 3u) << "cells";
    EXPECT_EQ(bad.at("losses").size(), 3u);
    EXPECT_DOUBLE_EQ(bad.at("text").at("cache").at("ratio"), 0.6);
    EXPECT_EQ(bad.at("plan").at("layers")[0].at("key_ranks")[0], 32);
    EXPECT_TRUE(json.at("caches")[0].at("plan").is_null());
}

}  // namespace
}  // namespace lowkey
