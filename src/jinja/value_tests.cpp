#include "jinja/value_tests.h"

#include <unordered_map>

#include "jinja/arithmetic.h"
#include "jinja/compare.h"
#include "jinja/filters.h"
#include "jinja/repr.h"
#include "jinja/text.h"

namespace lowkey::jinja {
namespace {

template <bool (*predicate)(const Value&)>
bool plain(Runtime& /*runtime*/, const Value& value, const Arguments& arguments) {
    arguments.expect_none("test");
    return predicate(value);
}

template <Kind kind>
bool is_kind(const Value& value) {
    return value.is(kind);
}

bool is_defined(const Value& value) { return !value.is_undefined(); }
bool is_true(const Value& value) { return value.is(Kind::kBool) && value.integer() != 0; }
bool is_false(const Value& value) { return value.is(Kind::kBool) && value.integer() == 0; }
bool is_number(const Value& value) { return value.is_number(); }
bool is_escaped(const Value& value) { return value.is_string() && value.text().markup; }
bool is_callable(const Value& value) {
    // In Python undefined values have the method that makes them callable; it raises.
    return value.is_undefined() || (value.is(Kind::kObject) && value.object().callable());
}
bool is_sequence(const Value& value) { return length(value).has_value() && !value.is(Kind::kView); }

bool is_divisible(Runtime& runtime, const Value& value, const Value& by) {
    const Value rest = apply(Operator::kModulo, value, by, runtime);
    return equals(rest, Value::integer(0), runtime.meter());
}

bool even(Runtime& runtime, const Value& value, const Arguments& arguments) {
    arguments.expect_none("even");
    return is_divisible(runtime, value, Value::integer(2));
}

bool odd(Runtime& runtime, const Value& value, const Arguments& arguments) {
    arguments.expect_none("odd");
    const Value rest = apply(Operator::kModulo, value, Value::integer(2), runtime);
    return equals(rest, Value::integer(1), runtime.meter());
}

bool divisible_by(Runtime& runtime, const Value& value, const Arguments& arguments) {
    return is_divisible(runtime, value, arguments.bind("divisibleby", {"num"}, 1).at(0));
}

template <bool (*predicate)(std::string_view)>
bool of_text(Runtime& runtime, const Value& value, const Arguments& arguments) {
    arguments.expect_none("test");
    const std::string text = to_text(value, runtime.meter());
    runtime.meter().charge_text(text.size());
    return predicate(text);
}

bool equal(Runtime& runtime, const Value& value, const Arguments& arguments) {
    return equals(value, arguments.bind("eq", {"other"}, 1).at(0), runtime.meter());
}

bool not_equal(Runtime& runtime, const Value& value, const Arguments& arguments) {
    return !equals(value, arguments.bind("ne", {"other"}, 1).at(0), runtime.meter());
}

bool less_than(Runtime& runtime, const Value& value, const Arguments& arguments) {
    return less(value, arguments.bind("lt", {"other"}, 1).at(0), runtime.meter());
}

bool greater_than(Runtime& runtime, const Value& value, const Arguments& arguments) {
    return less(arguments.bind("gt", {"other"}, 1).at(0), value, runtime.meter());
}

bool less_or_equal(Runtime& runtime, const Value& value, const Arguments& arguments) {
    return less_equal(value, arguments.bind("le", {"other"}, 1).at(0), runtime.meter());
}

bool greater_or_equal(Runtime& runtime, const Value& value, const Arguments& arguments) {
    return less_equal(arguments.bind("ge", {"other"}, 1).at(0), value, runtime.meter());
}

bool is_in(Runtime& runtime, const Value& value, const Arguments& arguments) {
    return contains(arguments.bind("in", {"seq"}, 1).at(0), value, runtime.meter());
}

bool same_as(Runtime& /*runtime*/, const Value& value, const Arguments& arguments) {
    return value.same_as(arguments.bind("sameas", {"other"}, 1).at(0));
}

bool is_filter(Runtime& /*runtime*/, const Value& value, const Arguments& arguments) {
    arguments.expect_none("filter");
    return value.is_string() && find_filter(value.str()) != nullptr;
}

bool is_test(Runtime& /*runtime*/, const Value& value, const Arguments& arguments) {
    arguments.expect_none("test");
    return value.is_string() && find_test(value.str()) != nullptr;
}

}  // namespace

ValueTest find_test(const std::string& name) {
    static const std::unordered_map<std::string, ValueTest> table = {
        {"defined", plain<is_defined>},
        {"undefined", plain<is_kind<Kind::kUndefined>>},
        {"none", plain<is_kind<Kind::kNone>>},
        {"boolean", plain<is_kind<Kind::kBool>>},
        {"true", plain<is_true>},
        {"false", plain<is_false>},
        {"integer", plain<is_kind<Kind::kInt>>},
        {"float", plain<is_kind<Kind::kFloat>>},
        {"number", plain<is_number>},
        {"string", plain<is_kind<Kind::kString>>},
        {"mapping", plain<is_kind<Kind::kDict>>},
        {"sequence", plain<is_sequence>},
        {"iterable", plain<is_iterable>},
        {"callable", plain<is_callable>},
        {"escaped", plain<is_escaped>},
        {"lower", of_text<all_lower>},
        {"upper", of_text<all_upper>},
        {"even", even},
        {"odd", odd},
        {"divisibleby", divisible_by},
        {"sameas", same_as},
        {"in", is_in},
        {"filter", is_filter},
        {"test", is_test},
        {"==", equal},
        {"eq", equal},
        {"equalto", equal},
        {"!=", not_equal},
        {"ne", not_equal},
        {"<", less_than},
        {"lt", less_than},
        {"lessthan", less_than},
        {"<=", less_or_equal},
        {"le", less_or_equal},
        {">", greater_than},
        {"gt", greater_than},
        {"greaterthan", greater_than},
        {">=", greater_or_equal},
        {"ge", greater_or_equal},
    };
    const auto found = table.find(name);
    return found != table.end() ? found->second : nullptr;
}

}  // namespace lowkey::jinja
