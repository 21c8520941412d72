#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>

#include "jinja/arithmetic.h"
#include "jinja/compare.h"
#include "jinja/filters.h"
#include "jinja/repr.h"
#include "jinja/text.h"

namespace lowkey::jinja {
namespace {

using Items = std::vector<Value>;

// "a.0.b": the parts of a path of attributes, numbers as numbers.
std::vector<Value> path_parts(const Value& attribute) {
    if (attribute.is_none()) return {};
    if (!attribute.is_string()) return {attribute};
    std::vector<Value> parts;
    for (const std::string_view part : split(attribute.str(), ".", -1, Side::kLeft)) {
        const bool number = !part.empty() && part.size() < 18 &&
                            part.find_first_not_of("0123456789") == std::string_view::npos;
        parts.push_back(number ? Value::integer(std::stoll(std::string(part)))
                               : Value::string(std::string(part)));
    }
    return parts;
}

/// What a filter looks at in each item: an attribute path of it, and texts without their case.
struct Key {
    std::vector<Value> path;
    std::optional<Value> fallback;
    bool ignore_case = false;

    [[nodiscard]] Value of(Value item, Runtime& runtime) const {
        runtime.meter().charge(1 + static_cast<int64_t>(path.size()));
        for (const Value& part : path) {
            item = get_item(item, part, runtime);
            if (fallback && item.is_undefined()) item = *fallback;
        }
        if (!ignore_case || !item.is_string()) return item;
        runtime.meter().charge_text(item.str().size());
        return Value::string(lower(item.str()));
    }
};

Key make_key(const Bound& bound, size_t attribute, size_t case_sensitive) {
    Key key;
    if (bound.has(attribute)) key.path = path_parts(bound.at(attribute));
    key.ignore_case = !bound.truthy_or(case_sensitive, false);
    return key;
}

Value length_filter(Runtime& /*runtime*/, const Value& value, const Arguments& arguments) {
    arguments.expect_none("length");
    const auto count = length(value);
    if (!count) throw Failure(fmt::format("object of type '{}' has no len()", type_name(value)));
    return Value::integer(*count);
}

Value default_filter(Runtime& /*runtime*/, const Value& value, const Arguments& arguments) {
    const Bound bound = arguments.bind("default", {"default_value", "boolean"});
    const bool missing = value.is_undefined() || (bound.truthy_or(1, false) && !truthy(value));
    return missing ? bound.value_or(0, Value::string("")) : value;
}

Value first_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
    arguments.expect_none("first");
    const auto walk = iterate(value, runtime.meter());
    if (walk->next < walk->items.size()) return walk->items[walk->next++];
    return Value::undefined("No first item, sequence was empty.");
}

Value last_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
    arguments.expect_none("last");
    if (value.is(Kind::kIterator)) throw Failure("'generator' object is not reversible");
    Items items = to_items(value, runtime.meter());
    return items.empty() ? Value::undefined("No last item, sequence was empty.") : items.back();
}

Value list_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
    arguments.expect_none("list");
    return Value::list(to_items(value, runtime.meter()));
}

Value reverse_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
    arguments.expect_none("reverse");
    Items items = to_items(value, runtime.meter());
    std::reverse(items.begin(), items.end());
    if (!value.is_string()) return Value::iterator(std::move(items));
    std::string out;
    for (const Value& item : items) out += item.str();
    return Value::string(std::move(out), value.text().markup);
}

Value join_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
    const Bound bound = arguments.bind("join", {"d", "attribute"});
    Meter& meter = runtime.meter();
    const std::string separator = bound.has(0) ? to_text(bound.at(0), meter) : "";
    Key key;
    if (bound.is_set(1)) key.path = path_parts(bound.at(1));
    std::string out;
    bool first = true;
    for (const Value& item : to_items(value, meter)) {
        if (!first) out += separator;
        first = false;
        const std::string text = to_text(key.of(item, runtime), meter);
        out += text;
        meter.charge_text(separator.size() + text.size());
        if (static_cast<int64_t>(out.size()) > meter.limits().max_text_bytes) {
            meter.charge_text(out.size());
        }
    }
    return Value::string(std::move(out));
}

Value items_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
    arguments.expect_none("items");
    if (value.is_undefined()) return Value::iterator({});
    if (!value.is(Kind::kDict)) throw Failure("Can only get item pairs from a mapping.");
    runtime.meter().charge(static_cast<int64_t>(value.dict().size()));
    Items out;
    for (const auto& [key, item] : value.dict().entries()) out.push_back(Value::tuple({key, item}));
    return Value::iterator(std::move(out));
}

// Sorts items by their keys, equal ones in their order.
void sort_by(Items& items, const std::vector<Value>& keys, bool reverse, Meter& meter) {
    std::vector<size_t> order(items.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
        return reverse ? less(keys[b], keys[a], meter) : less(keys[a], keys[b], meter);
    });
    Items sorted;
    sorted.reserve(items.size());
    for (const size_t i : order) sorted.push_back(items[i]);
    items = std::move(sorted);
}

Value sort_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
    const Bound bound = arguments.bind("sort", {"reverse", "case_sensitive", "attribute"});
    // "a,b": by a, then by b.
    std::vector<Key> parts;
    if (bound.has(2) && bound.at(2).is_string()) {
        for (const std::string_view path : split(bound.string(2), ",", -1, Side::kLeft)) {
            parts.emplace_back().path = path_parts(Value::string(std::string(path)));
        }
    } else {
        parts.push_back(make_key(bound, 2, 1));
    }
    Items items = to_items(value, runtime.meter());
    std::vector<Value> keys;
    for (const Value& item : items) {
        Items key;
        for (Key& part : parts) {
            part.ignore_case = !bound.truthy_or(1, false);
            key.push_back(part.of(item, runtime));
        }
        keys.push_back(Value::list(std::move(key)));
    }
    sort_by(items, keys, bound.truthy_or(0, false), runtime.meter());
    return Value::list(std::move(items));
}

Value dictsort_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
    const Bound bound = arguments.bind("dictsort", {"case_sensitive", "by", "reverse"});
    const std::string by = bound.string_or(1, "key");
    if (by != "key" && by != "value") {
        throw Failure("You can only sort by either \"key\" or \"value\"");
    }
    if (value.is_undefined()) throw Failure(value.undefined_message());
    if (!value.is(Kind::kDict))
        throw Failure(fmt::format("dictsort takes a dict, not {}", type_name(value)));
    Key key;
    key.ignore_case = !bound.truthy_or(0, false);
    Items items;
    std::vector<Value> keys;
    for (const auto& [name, item] : value.dict().entries()) {
        items.push_back(Value::tuple({name, item}));
        keys.push_back(key.of(by == "key" ? name : item, runtime));
    }
    sort_by(items, keys, bound.truthy_or(2, false), runtime.meter());
    return Value::list(std::move(items));
}

Value unique_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
    const Bound bound = arguments.bind("unique", {"case_sensitive", "attribute"});
    const Key key = make_key(bound, 1, 0);
    Dict seen;
    Items out;
    for (const Value& item : to_items(value, runtime.meter())) {
        const Value of = key.of(item, runtime);
        if (seen.find(of, runtime.meter()) != nullptr) continue;
        seen.set(of, Value::none(), runtime.meter());
        out.push_back(item);
    }
    return Value::iterator(std::move(out));
}

template <bool largest>
Value extreme_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
    const Bound bound = arguments.bind(largest ? "max" : "min", {"case_sensitive", "attribute"});
    const Key key = make_key(bound, 1, 0);
    std::optional<Value> best;
    Value best_key;
    for (const Value& item : to_items(value, runtime.meter())) {
        const Value of = key.of(item, runtime);
        const bool better = best && (largest ? less(best_key, of, runtime.meter())
                                             : less(of, best_key, runtime.meter()));
        if (best && !better) continue;
        best = item;
        best_key = of;
    }
    return best ? *best : Value::undefined("No aggregated item, sequence was empty.");
}

Value sum_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
    const Bound bound = arguments.bind("sum", {"attribute", "start"});
    Key key;
    if (bound.is_set(0)) key.path = path_parts(bound.at(0));
    Value total = bound.value_or(1, Value::integer(0));
    if (total.is_string()) throw Failure("sum() can't sum strings [use ''.join(seq) instead]");
    for (const Value& item : to_items(value, runtime.meter())) {
        total = apply(Operator::kAdd, total, key.of(item, runtime), runtime);
    }
    return total;
}

Value batch_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
    const Bound bound = arguments.bind("batch", {"linecount", "fill_with"}, 1);
    const int64_t count = bound.integer(0);
    Items batches;
    Items batch;
    for (const Value& item : to_items(value, runtime.meter())) {
        if (static_cast<int64_t>(batch.size()) == count) {
            batches.push_back(Value::list(std::exchange(batch, {})));
        }
        batch.push_back(item);
    }
    if (!batch.empty()) {
        if (bound.is_set(1) && static_cast<int64_t>(batch.size()) < count) {
            runtime.meter().charge(count);
            batch.resize(static_cast<size_t>(count), bound.at(1));
        }
        batches.push_back(Value::list(std::move(batch)));
    }
    return Value::iterator(std::move(batches));
}

Value slice_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
    const Bound bound = arguments.bind("slice", {"slices", "fill_with"}, 1);
    const int64_t slices = bound.integer(0);
    const Items items = to_items(value, runtime.meter());
    if (slices == 0) throw Failure("integer division or modulo by zero");
    runtime.meter().charge(std::max<int64_t>(slices, 0));
    const auto total = static_cast<int64_t>(items.size());
    Items out;
    auto at = items.begin();
    for (int64_t i = 0; i < slices; ++i) {
        const bool longer = i < total % slices;
        const auto end = at + (total / slices + (longer ? 1 : 0));
        Items part(at, end);
        at = end;
        if (bound.is_set(1) && !longer) part.push_back(bound.at(1));
        out.push_back(Value::list(std::move(part)));
    }
    return Value::iterator(std::move(out));
}

Value groupby_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
    const Bound bound = arguments.bind("groupby", {"attribute", "default", "case_sensitive"}, 1);
    Key key = make_key(bound, 0, 2);
    if (bound.is_set(1)) key.fallback = bound.at(1);
    Meter& meter = runtime.meter();
    Items items = to_items(value, meter);
    std::vector<Value> keys;
    for (const Value& item : items) keys.push_back(key.of(item, runtime));
    sort_by(items, keys, false, meter);
    Items groups;
    for (size_t i = 0; i < items.size();) {
        const Value of = key.of(items[i], runtime);
        Items group;
        for (; i < items.size() && equals(key.of(items[i], runtime), of, meter); ++i) {
            group.push_back(items[i]);
        }
        if (group.empty()) group.push_back(items[i++]);  // nan: not even equal to itself
        Key shown = key;
        shown.ignore_case = false;
        const Value grouper = shown.of(group.front(), runtime);
        groups.push_back(Value::tuple({grouper, Value::list(std::move(group))}));
    }
    return Value::list(std::move(groups));
}

Value attr_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
    const Bound bound = arguments.bind("attr", {"name"}, 1);
    runtime.meter().charge(1);
    return get_own_attribute(value, bound.string(0));
}

// The arguments behind the first `count`.
Arguments rest_of(const Arguments& arguments, size_t count) {
    Arguments out = arguments;
    out.positional.erase(out.positional.begin(),
                         out.positional.begin() + static_cast<ptrdiff_t>(count));
    return out;
}

const std::string& name_argument(const Arguments& arguments, size_t place, const char* what) {
    if (!arguments.positional[place].is_string()) {
        throw Failure(std::string(what) + " must be named by a string");
    }
    return arguments.positional[place].str();
}

Value map_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
    if (!truthy(value)) return Value::iterator({});
    Items out;
    if (arguments.positional.empty()) {
        const Bound bound = arguments.bind("map", {"attribute", "default"}, 1);
        Key key;
        key.path = path_parts(bound.at(0));
        if (bound.is_set(1)) key.fallback = bound.at(1);
        for (const Value& item : to_items(value, runtime.meter())) {
            out.push_back(key.of(item, runtime));
        }
        return Value::iterator(std::move(out));
    }
    const std::string& name = name_argument(arguments, 0, "a filter");
    const Arguments passed = rest_of(arguments, 1);
    for (const Value& item : to_items(value, runtime.meter())) {
        out.push_back(runtime.filter(name, item, passed));
    }
    return Value::iterator(std::move(out));
}

/// select, reject, selectattr, rejectattr: the items, or those with an attribute, that pass a test.
template <bool by_attribute, bool keep>
Value choose_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
    if (!truthy(value)) return Value::iterator({});
    const size_t test = by_attribute ? 1 : 0;
    if (arguments.positional.size() < test) {
        throw Failure("Missing parameter for attribute name");
    }
    Key key;
    if (by_attribute) key.path = path_parts(arguments.positional[0]);
    const bool tests = arguments.positional.size() > test;
    const std::string name = tests ? name_argument(arguments, test, "a test") : "";
    const Arguments passed = rest_of(arguments, tests ? test + 1 : test);
    Items out;
    for (const Value& item : to_items(value, runtime.meter())) {
        const Value of = key.of(item, runtime);
        const bool passes = tests ? runtime.test(name, of, passed) : truthy(of);
        if (passes == keep) out.push_back(item);
    }
    return Value::iterator(std::move(out));
}

}  // namespace

FilterCode find_sequence_filter(const std::string& name) {
    static const std::unordered_map<std::string, FilterCode> table = {
        {"attr", attr_filter},
        {"batch", batch_filter},
        {"count", length_filter},
        {"d", default_filter},
        {"default", default_filter},
        {"dictsort", dictsort_filter},
        {"first", first_filter},
        {"groupby", groupby_filter},
        {"items", items_filter},
        {"join", join_filter},
        {"last", last_filter},
        {"length", length_filter},
        {"list", list_filter},
        {"map", map_filter},
        {"max", extreme_filter<true>},
        {"min", extreme_filter<false>},
        {"reject", choose_filter<false, false>},
        {"rejectattr", choose_filter<true, false>},
        {"reverse", reverse_filter},
        {"select", choose_filter<false, true>},
        {"selectattr", choose_filter<true, true>},
        {"slice", slice_filter},
        {"sort", sort_filter},
        {"sum", sum_filter},
        {"unique", unique_filter},
    };
    const auto found = table.find(name);
    return found != table.end() ? found->second : nullptr;
}

}  // namespace lowkey::jinja
