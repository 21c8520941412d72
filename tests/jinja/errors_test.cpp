#include <gmock/gmock.h>

#include "tests/jinja/render.h"

namespace lowkey {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(TemplateErrors, NameTheLineAndTheMistake) {
    const std::pair<const char*, const char*> cases[] = {
        {"a\nb {{ 1 + }}",
         "not a Jinja template (unexpected 'end of print statement'): t.jinja, line 2"},
        {"\n{% if x %}\n", "unexpected end of template, expected endif"},
        {"\n\n{% frob %}", "unknown tag 'frob'): t.jinja, line 3"},
        {"{% endif %}", "unknown tag 'endif'"},
        {"{{ 'a }}", "unexpected char '"},
        {"{# a", "Missing end of comment tag"},
        {"{% raw %}", "Missing end of raw directive"},
        {"{{ (1] }}", "unexpected ']', expected ')'"},
        {"{% set 1 = 2 %}", "expected a name, got 'number'"},
        {"{% break %}", "'break' outside of a loop"},
        {"{{ 1\n+ 'a' }}", "unsupported operand types for +: 'int' and 'str': t.jinja, line 2"},
        {"\n{{ 'a' + 1 }}", "can only concatenate str (not \"int\") to str: t.jinja, line 2"},
        {"{{ x.y.z }}", "'x' is undefined"},
        {"{{ m.content.z }}", "'dict object' has no attribute 'content'"},
        {"{{ m['role'].a.b }}", "'str object' has no attribute 'a'"},
        {"{{ l[7] + 1 }}", "list object has no element 7"},
        {"{{ f() }}", "'f' is undefined"},
        {"{{ 1() }}", "'int' object is not callable"},
        {"{{ 1|nope }}", "No filter named 'nope'."},
        {"{{ 1 is nope }}", "No test named 'nope'."},
        {"{{ l.append(1) }}", "access to attribute 'append' of 'list' object is unsafe."},
        {"{{ 1|round(x=1) }}", "round() got an unexpected keyword argument 'x'"},
        {"{{ 'a'|replace('b') }}", "replace() misses the argument 'new'"},
        {"{{ 1 // 0 }}", "division by zero"},
        {"{% for a, b in [[1]] %}{% endfor %}", "not enough values to unpack (expected 2)"},
        {"{% set m.x = 1 %}", "cannot assign attribute on non-namespace object"},
        {"{% macro f() %}\n\n{{ y.z }}{% endmacro %}\n{{ f() }}",
         "'y' is undefined: t.jinja, line 3"},
        {"{{ m|tojson(indent='x')|nope }}", "No filter"},
        {"{{ m.items()|tojson }}", "Object of type dict_items is not JSON serializable"},
    };
    for (const auto& [source, message] : cases) {
        EXPECT_THAT(refusal(source, R"({"m": {"role": "user"}, "l": [1]})"), HasSubstr(message));
    }
}

TEST(TemplateErrors, OutsideTheSubsetIsSaidSo) {
    const std::pair<const char*, const char*> cases[] = {
        {"{% include 'a' %}", "the tag 'include' is not supported in templates: t.jinja, line 1"},
        {"{% block a %}{% endblock %}", "the tag 'block'"},
        {"{{ 'a'|urlize }}", "the filter 'urlize'"},
        {"{{ 'a'.encode() }}", "the string method 'encode'"},
        {"{{ 9223372036854775807 + 1 }}", "an integer beyond 64 bits"},
        {"{{ 9223372036854775808 }}", "an integer beyond 64 bits"},
        {"{{ 2 ** 64 }}", "an integer beyond 64 bits"},
        {"{{ 1e30|int }}", "an integer beyond 64 bits"},
        {"{{ (-9223372036854775807 - 1) // -1 }}", "an integer beyond 64 bits"},
        {"{{ -(-9223372036854775807 - 1) }}", "an integer beyond 64 bits"},
        {"{{ '\\N{DASH}' }}", "character names"},
    };
    for (const auto& [source, message] : cases) EXPECT_THAT(refusal(source), HasSubstr(message));
    EXPECT_THROW(render("{% include 'a' %}"), UnsupportedError);
}

TEST(TemplateErrors, ATemplateSpeaksForItself) {
    EXPECT_THAT(refusal("\n{{ raise_exception('roles must ' ~ 'alternate') }}"),
                StartsWith("roles must alternate: t.jinja, line 2; "));
    EXPECT_THAT(refusal("{{ raise_exception('two\nlines\x1b[0m') }}"),
                StartsWith("two lines [0m: t.jinja"))
        << "no control characters from a file that is not trusted";
}

TEST(TemplateErrors, TheSourceMustBeUtf8) {
    EXPECT_THAT(refusal("a\xff"), HasSubstr("the template is not UTF-8: t.jinja"));
}

}  // namespace
}  // namespace lowkey
