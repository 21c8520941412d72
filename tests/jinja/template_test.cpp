// What the comparison with jinja2 (reference_test.cpp) cannot hold: times, limits of types, reuse.
#include <gmock/gmock.h>

#include <ctime>
#include <thread>
#include <vector>

#include "tests/jinja/render.h"

namespace lowkey {
namespace {

using ::testing::MatchesRegex;

TEST(Template, StrftimeNowGivesTheLocalTime) {
    const std::time_t now = std::time(nullptr);
    std::tm local{};
    localtime_r(&now, &local);
    EXPECT_EQ(render("{{ strftime_now('%Y') }}"), std::to_string(local.tm_year + 1900));
    EXPECT_THAT(
        render("{{ strftime_now('%d %b %Y, %H:%M:%S.%f|%%|%z%Z|%') }}"),
        MatchesRegex("[0-9][0-9] [A-Z][a-z][a-z] [0-9]{4}, [0-9:]{8}\\.[0-9]{6}\\|%\\|\\|%"));
    EXPECT_EQ(render("{{ strftime_now('') }}"), "");
}

TEST(Template, ManyMayRenderAtOnce) {
    const jinja::Template shared("{% for i in range(50) %}{{ i }},{% endfor %}{{ x }}", "t");
    const jinja::Value variables = jinja::from_json(R"({"x": [1, {"a": "b"}]})", "v");
    const std::string expected = shared.render(variables.dict());
    std::vector<std::string> results(4);
    std::vector<std::thread> threads;
    threads.reserve(results.size());
    for (std::string& result : results) {
        threads.emplace_back([&] { result = shared.render(variables.dict()); });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_THAT(results, ::testing::Each(expected));
}

TEST(Template, RendersAnewEachTime) {
    const jinja::Template counter(
        "{% set ns = namespace(n=0) %}{% for i in [1, 2] %}{% set ns.n = ns.n + i %}{% endfor %}"
        "{{ ns.n }}",
        "t");
    EXPECT_EQ(counter.render({}), "3");
    EXPECT_EQ(counter.render({}), "3");
}

TEST(Template, MessagesAreOnlyData) {
    EXPECT_EQ(render("{{ m }}", R"({"m": "{{ 1 }} {% if %} {# x #}"})"),
              "{{ 1 }} {% if %} {# x #}");
}

TEST(Template, VariablesHideFunctions) {
    EXPECT_EQ(render("{{ range }}", R"({"range": "mine"})"), "mine");
}

}  // namespace
}  // namespace lowkey
