#include <algorithm>
#include <array>

#include "jinja/compare.h"
#include "jinja/methods.h"
#include "jinja/repr.h"

namespace lowkey::jinja {
namespace {

Value list_index(Runtime& runtime, const Value& self, const Arguments& arguments) {
    const Bound bound = arguments.bind("index", {"value"}, 1);
    const std::vector<Value>& items = self.items();
    for (size_t i = 0; i < items.size(); ++i) {
        if (equals(items[i], bound.at(0), runtime.meter())) {
            return Value::integer(static_cast<int64_t>(i));
        }
    }
    throw Failure(repr(bound.at(0), runtime.meter()) + " is not in the list");
}

Value list_count(Runtime& runtime, const Value& self, const Arguments& arguments) {
    const Bound bound = arguments.bind("count", {"value"}, 1);
    const auto same = [&](const Value& item) { return equals(item, bound.at(0), runtime.meter()); };
    return Value::integer(std::count_if(self.items().begin(), self.items().end(), same));
}

Value copy(Runtime& /*runtime*/, const Value& self, const Arguments& arguments) {
    arguments.expect_none("copy");
    return self;
}

Value dict_get(Runtime& runtime, const Value& self, const Arguments& arguments) {
    arguments.no_names("get");
    const Bound bound = arguments.bind("get", {"key", "default"}, 1);
    const Value* found = self.dict().find(bound.at(0), runtime.meter());
    return found != nullptr ? *found : bound.value_or(1, Value::none());
}

template <typename Pick>
Value view_of(const char* name, Runtime& runtime, const Value& self, const Arguments& arguments,
              Pick pick) {
    arguments.expect_none(name);
    runtime.meter().charge(static_cast<int64_t>(self.dict().size()));
    std::vector<Value> out;
    out.reserve(self.dict().size());
    for (const Dict::Entry& entry : self.dict().entries()) out.push_back(pick(entry));
    return Value::view(name, std::move(out));
}

Value dict_items(Runtime& runtime, const Value& self, const Arguments& arguments) {
    return view_of("dict_items", runtime, self, arguments, [](const Dict::Entry& entry) {
        return Value::tuple({entry.first, entry.second});
    });
}

Value dict_keys(Runtime& runtime, const Value& self, const Arguments& arguments) {
    return view_of("dict_keys", runtime, self, arguments,
                   [](const Dict::Entry& entry) { return entry.first; });
}

Value dict_values(Runtime& runtime, const Value& self, const Arguments& arguments) {
    return view_of("dict_values", runtime, self, arguments,
                   [](const Dict::Entry& entry) { return entry.second; });
}

template <size_t N>
bool is_one_of(const std::string& name, const std::array<const char*, N>& names) {
    return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

Method find_list_method(const std::string& name) {
    if (name == "index") return list_index;
    if (name == "count") return list_count;
    if (name == "copy") return copy;
    return nullptr;
}

Method find_dict_method(const std::string& name) {
    if (name == "get") return dict_get;
    if (name == "items") return dict_items;
    if (name == "keys") return dict_keys;
    if (name == "values") return dict_values;
    if (name == "copy") return copy;
    return nullptr;
}

bool is_forbidden_method(Kind kind, const std::string& name) {
    static constexpr std::array<const char*, 8> of_lists = {"append", "clear", "pop",    "reverse",
                                                            "insert", "sort",  "extend", "remove"};
    static constexpr std::array<const char*, 5> of_dicts = {"clear", "pop", "popitem", "setdefault",
                                                            "update"};
    if (kind == Kind::kList) return is_one_of(name, of_lists);
    return kind == Kind::kDict && is_one_of(name, of_dicts);
}

}  // namespace lowkey::jinja
