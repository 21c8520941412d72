// Templates come with models and are not trusted: whatever they do ends, soon and with an Error.
#include <gmock/gmock.h>

#include <string>

#include "tests/jinja/render.h"

namespace lowkey {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;

// Small, so that the tests are quick; the kinds of limits are those of Limits{}.
constexpr jinja::Limits kLimits = {.max_steps = 1 << 20, .max_text_bytes = 1 << 22};

std::string repeated(const std::string& text, int count) {
    std::string out;
    for (int i = 0; i < count; ++i) out += text;
    return out;
}

void expect_limited(const std::string& source) {
    EXPECT_THAT(refusal(source, "{}", kLimits),
                AnyOf(HasSubstr("runs for more than"), HasSubstr("makes a text of more than"),
                      HasSubstr("deeper than"), HasSubstr("of more than")))
        << source.substr(0, 300);
}

TEST(HostileTemplate, DeepNestingOfTheSource) {
    constexpr int many = 100'000;
    expect_limited("{{ " + repeated("(", many) + "1" + repeated(")", many) + " }}");
    expect_limited("{{ " + repeated("[", many) + repeated("]", many) + " }}");
    expect_limited("{{ " + repeated("{1:", many) + "1" + repeated("}", many) + " }}");
    expect_limited("{{ " + repeated("-", many) + "1 }}");
    expect_limited("{{ " + repeated("not ", many) + "1 }}");
    expect_limited("{{ 1" + repeated(" + 1", many) + " }}");
    expect_limited("{{ 1" + repeated(" and 1", many) + " }}");
    expect_limited("{{ 1" + repeated(" ** 1", many) + " }}");
    expect_limited("{{ 1" + repeated(" if 1", many) + " }}");
    expect_limited("{{ 1" + repeated(" if 0 else 1", many) + " }}");
    expect_limited("{{ a" + repeated(".a", many) + " }}");
    expect_limited("{{ a" + repeated("[0]", many) + " }}");
    expect_limited("{{ a" + repeated("[a", many) + repeated("]", many) + " }}");
    expect_limited("{{ a" + repeated("()", many) + " }}");
    expect_limited("{{ a" + repeated("|list", many) + " }}");
    expect_limited("{{ a" + repeated(" is defined", 1) + repeated("|d(a", many) +
                   repeated(")", many) + " }}");
    expect_limited(repeated("{% if 1 %}", many) + repeated("{% endif %}", many));
    expect_limited(repeated("{% for i in [1] %}", many) + repeated("{% endfor %}", many));
    expect_limited(repeated("{% macro f() %}", many) + repeated("{% endmacro %}", many));
    expect_limited("{% for " + repeated("(", many) + "a" + repeated(")", many) +
                   " in b %}{% endfor %}");
    expect_limited("{% set x" + repeated("|upper", many) + " %}{% endset %}");
}

TEST(HostileTemplate, LongButFlatSourcesAreFine) {
    constexpr int many = 10'000;
    EXPECT_EQ(render("{{ 'a'" + repeated(" ~ 'a'", many) + " }}").size(), many + 1u);
    EXPECT_EQ(render("{{ [" + repeated("1,", many) + "]|length }}"), std::to_string(many));
    EXPECT_EQ(render(repeated("{{ 1 }}", many)).size(), 1u * many);
    EXPECT_EQ(render("{{ 1" + repeated(" < 2", 1) + repeated(" != 3", many) + " }}"), "False");
    EXPECT_EQ(render("{% if 0 %}" + repeated("{% elif 0 %}", many) + "{% else %}x{% endif %}"),
              "x");
}

TEST(HostileTemplate, EndlessRecursion) {
    expect_limited("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}");
    expect_limited(
        "{% macro f(x) %}{{ g(x) }}{% endmacro %}{% macro g(x) %}{{ f([x]) }}{% endmacro %}{{ f(1) "
        "}}");
    expect_limited(
        "{% macro f() %}{% call f() %}{{ caller() }}{% endcall %}{% endmacro %}{{ f() }}");
    expect_limited("{% macro f() %}{% for x in [1] if f() %}{% endfor %}{% endmacro %}{{ f() }}");
    expect_limited("{% macro f(a=f()) %}{% endmacro %}{% macro f(a=f()) %}{% endmacro %}{{ f() }}");
    expect_limited("{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}");
    expect_limited("{% set ns = namespace() %}{% set ns.x = ns %}{{ ns }}");
    expect_limited("{% set ns = namespace() %}{% set ns.x = [ns] %}{{ ns.x|string }}");
    expect_limited("{{ ['map', 'x']|map(" + repeated("'map', ", 3000) +
                   "'list')|list }}{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}");
}

TEST(HostileTemplate, DeepData) {
    const auto grow = [](const std::string& next) {
        return "{% set ns = namespace(x=[]) %}{% for i in range(100000) %}{% set ns.x = " + next +
               " %}{% endfor %}done";
    };
    for (const char* next :
         {"[ns.x]", "{'a': ns.x}", "(ns.x,)", "[ns.x]|map('list')", "[ns.x].index", "cycler(ns.x)",
          "[ns.x]|batch(1)", "[[ns.x]]|groupby(1)", "cycler(ns.x).next"}) {
        expect_limited(grow(next));
    }
    expect_limited(
        "{% set ns = namespace() %}{% for i in range(100000) %}{% for x in [ns.l] %}{% set ns.l = "
        "loop %}{% endfor %}{% endfor %}");
}

TEST(HostileTemplate, LongChainsOfObjectsAreFreed) {
    EXPECT_EQ(render("{% set ns = namespace() %}{% for i in range(50000) %}"
                     "{% set ns.x = namespace(p=ns.x) %}{% endfor %}done"),
              "done");
    EXPECT_EQ(render("{% set ns = namespace() %}{% for i in range(50000) %}{% set p = ns.f %}"
                     "{% macro f() %}{{ p }}{% endmacro %}{% set ns.f = f %}{% endfor %}done"),
              "done");
    EXPECT_EQ(render("{% set ns = namespace() %}{% set ns.x = ns %}{% for x in [1] %}"
                     "{{ loop.changed(loop) }}{% set ns.l = loop %}{% endfor %}"
                     "{% macro f() %}{{ f }}{% endmacro %}{% set ns.f = f %}done"),
              "Truedone");
}

TEST(HostileTemplate, LargeData) {
    const std::string doubling =
        "{% set ns = namespace(x='ab') %}{% for i in range(1000) %}{% set ns.x = ";
    for (const char* next :
         {"ns.x + ns.x", "ns.x ~ ns.x", "ns.x * 2", "'%s%s' % (ns.x, ns.x)",
          "'{0}{0}'.format(ns.x)", "ns.x|replace('a', 'aba')", "ns.x.replace('', 'x')",
          "[ns.x, ns.x]|join", "ns.x.join([ns.x, ns.x])", "[ns.x, ns.x]|tojson",
          "[ns.x, ns.x]|string", "ns.x|urlencode ~ '%'", "('&' ~ ns.x)|e", "ns.x|list + ns.x|list",
          "[ns.x] * 2", "ns.x|list|tojson(indent=9)"}) {
        expect_limited(doubling + next + " %}{% endfor %}");
    }
    for (const char* one : {"range(10**12)",
                            "range(0, -(10**18), -1)",
                            "'x' * 10**12",
                            "'xy' * 9223372036854775807",
                            "[1] * 10**12",
                            "(1, 2) * 9223372036854775807",
                            "'x'|center(10**12)",
                            "'x'.ljust(10**12)",
                            "'x'.center(9223372036854775807)",
                            "'x'.zfill(10**12)",
                            "'%999999999999d' % 1",
                            "'%.999999999999f' % 1",
                            "'%*d' % (10**12, 1)",
                            "'{:999999999999}'.format(1)",
                            "'{:.999999999999f}'.format(1.0)",
                            "'{:{w}}'.format(1, w=10**12)",
                            "'x'|indent(10**12)",
                            "[1]|tojson(indent=10**12)",
                            "[1]|batch(10**12, 0)|list",
                            "[1]|slice(10**12)|list",
                            "strftime_now('%c' * 1000)",
                            "strftime_now('%999999999d')",
                            "'x\n' * 1000 * 1000 * 1000"}) {
        expect_limited(std::string("{{ ") + one + " }}");
    }
    // Few lists, but 2^60 items for whoever walks them.
    const std::string shared =
        "{% set ns = namespace(x=[1], y=[1]) %}{% for i in range(60) %}"
        "{% set ns.x = [ns.x, ns.x] %}{% set ns.y = [ns.y, ns.y] %}{% endfor %}";
    for (const char* use : {"ns.x|string", "ns.x|tojson", "ns.x == ns.y", "ns.x < ns.y",
                            "ns.y in [ns.x]", "'%r' % ns.x", "ns.x ~ ''"}) {
        expect_limited(shared + "{{ " + use + " }}");
    }
    expect_limited(
        "{% set ns = namespace(x=(1,)) %}{% for i in range(60) %}{% set ns.x = (ns.x, ns.x) %}{% "
        "endfor %}{{ {ns.x: 1} }}");
}

TEST(HostileTemplate, LongWork) {
    expect_limited(
        "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}");
    expect_limited("{% for a in range(100000) %}{{ range(100000)|sum }}{% endfor %}");
    expect_limited(
        "{% for a in range(100000) %}{{ range(100000)|map('string')|join|length }}{% endfor %}");
    expect_limited("{% for a in range(100000) %}{{ range(100000)|sort|length }}{% endfor %}");
    expect_limited(
        "{% set x = 'a' * 1000000 %}{% for a in range(100000) %}{{ x.count('b') }}{% endfor %}");
    expect_limited(
        "{% set x = 'a' * 1000000 %}{% for a in range(100000) %}{{ 'b' in x }}{% endfor %}");
    expect_limited("{% set x = 'é' * 1000000 %}{% for a in range(100000) %}{{ x[a] }}{% endfor %}");
    expect_limited(
        "{% set x = 'a' * 1000000 %}{% for a in range(100000) %}{{ x == x ~ '' }}{% endfor %}");
    expect_limited(repeated("{% for a in range(100) %}", 50) + "x" + repeated("{% endfor %}", 50));
}

TEST(HostileTemplate, SearchesTakeLinearTime) {
    const std::string setup = "{% set x = 'a' * 3000000 %}{% set y = 'a' * 1500000 ~ 'b' %}";
    EXPECT_EQ(render(setup + "{{ y in x }}{{ x.find(y) }}{{ x.rfind(y) }}{{ x.count(y) }}"
                             "{{ x.split(y)|length }}{{ x.rsplit('b' ~ y)|length }}"
                             "{{ x.replace(y, '')|length }}{{ x.strip(y)|length }}"),
              "False-1-1011"
              "30000000");
}

}  // namespace
}  // namespace lowkey
