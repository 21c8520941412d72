// Attributes, items and slices of values (declared in runtime.h).
#include <fmt/format.h>

#include <algorithm>

#include "base/unicode.h"
#include "jinja/compare.h"
#include "jinja/methods.h"
#include "jinja/repr.h"
#include "jinja/runtime.h"

namespace lowkey::jinja {
namespace {

/// A method with the value that it was taken from.
class BoundMethod : public Object {
public:
    BoundMethod(Value self, Method method) : self_(std::move(self)), method_(method) {}
    [[nodiscard]] std::string type_name() const override { return "method"; }
    [[nodiscard]] bool callable() const override { return true; }
    [[nodiscard]] int depth() const override { return self_.depth(); }
    Value call(Runtime& runtime, const Arguments& arguments) override {
        return method_(runtime, self_, arguments);
    }

private:
    Value self_;
    Method method_;
};

std::string object_name(const Value& object) {
    return object.is_none() ? "None" : type_name(object) + " object";
}

Value no_attribute(const Value& object, const std::string& name) {
    return Value::undefined(fmt::format("'{}' has no attribute '{}'", object_name(object), name));
}

Value no_element(const Value& object, const Value& key, Meter& meter) {
    if (key.is_string()) return no_attribute(object, key.str());
    return Value::undefined(object_name(object) + " has no element " + repr(key, meter));
}

Method find_method(const Value& object, const std::string& name) {
    switch (object.kind()) {
        case Kind::kString:
            return find_string_method(name);
        case Kind::kList:
            return find_list_method(name);
        case Kind::kTuple:
            return name == "copy" ? nullptr : find_list_method(name);
        case Kind::kDict:
            return find_dict_method(name);
        default:
            return nullptr;
    }
}

// What Python's getattr() finds; nothing when there is no such attribute.
std::optional<Value> own_attribute(const Value& object, const std::string& name) {
    if (object.is(Kind::kObject)) return object.object().attribute(name);
    if (is_forbidden_method(object.kind(), name)) {
        return Value::undefined(fmt::format("access to attribute '{}' of '{}' object is unsafe.",
                                            name, type_name(object)));
    }
    if (const Method method = find_method(object, name); method != nullptr) {
        return Value::object(std::make_shared<BoundMethod>(object, method));
    }
    // The pairs that the filter `groupby` gives have names for their parts.
    if (object.is(Kind::kTuple) && object.items().size() == 2) {
        if (name == "grouper") return object.items()[0];
        if (name == "list") return object.items()[1];
    }
    return std::nullopt;
}

std::optional<int64_t> element_place(int64_t index, int64_t length) {
    if (index < 0) index += length;
    if (index < 0 || index >= length) return std::nullopt;
    return index;
}

Value character_at(const Value& text, int64_t index, Meter& meter) {
    const std::string& bytes = text.str();
    size_t pos = static_cast<size_t>(index);
    if (static_cast<int64_t>(bytes.size()) != text.text().length) {
        meter.charge_text(bytes.size());
        pos = byte_of_character(bytes, index);
    }
    return Value::string(std::string(next_character(bytes, pos)), text.text().markup);
}

// What Python's object[key] finds; nothing where it raises a TypeError or LookupError.
std::optional<Value> own_item(const Value& object, const Value& key, Meter& meter) {
    if (object.is(Kind::kDict)) {
        if (key.is(Kind::kList) || key.is(Kind::kDict)) return std::nullopt;
        const Value* found = object.dict().find(key, meter);
        return found != nullptr ? std::optional<Value>(*found) : std::nullopt;
    }
    const bool indexed = object.is_string() || object.is(Kind::kList) || object.is(Kind::kTuple) ||
                         object.is(Kind::kRange);
    if (!indexed || !key.is_integral()) return std::nullopt;
    const auto place = element_place(key.integer(), *length(object));
    if (!place) return std::nullopt;
    if (object.is_string()) return character_at(object, *place, meter);
    if (object.is(Kind::kRange)) {
        return Value::integer(object.range().start + *place * object.range().step);
    }
    return object.items()[static_cast<size_t>(*place)];
}

/// A slice of a sequence of known length.
struct Places {
    int64_t start;
    int64_t stop;
    int64_t step;
    int64_t count;
};

Places places(int64_t length, const Value& start, const Value& stop, const Value& step) {
    const int64_t by = step.is_none() ? 1 : step.integer();
    if (by == 0) throw Failure("slice step cannot be zero");
    const int64_t low = by > 0 ? 0 : -1;
    const int64_t high = by > 0 ? length : length - 1;
    const auto clamped = [&](const Value& value, int64_t fallback) {
        if (value.is_none()) return fallback;
        const int64_t at = value.integer();
        return std::clamp(at < 0 ? at + length : at, low, high);
    };
    const int64_t first = clamped(start, by > 0 ? low : high);
    const int64_t last = clamped(stop, by > 0 ? high : low);
    if (by > 0) {
        return {first, last, by, first < last ? (last - first - 1) / by + 1 : 0};
    }
    // -INT64_MIN does not exist, but one step of it leaves any sequence.
    const int64_t back = by == INT64_MIN ? INT64_MAX : -by;
    return {first, last, -back, first > last ? (first - last - 1) / back + 1 : 0};
}

Value slice_text(const Value& text, const Places& places) {
    const std::string& bytes = text.str();
    if (places.step == 1) {
        const size_t first = byte_of_character(bytes, places.start);
        const std::string_view rest = std::string_view(bytes).substr(first);
        return Value::string(std::string(rest.substr(0, byte_of_character(rest, places.count))),
                             text.text().markup);
    }
    std::vector<size_t> starts;
    for (size_t pos = 0; pos < bytes.size(); next_character(bytes, pos)) starts.push_back(pos);
    std::string out;
    for (int64_t i = 0; i < places.count; ++i) {
        size_t pos = starts[static_cast<size_t>(places.start + i * places.step)];
        out += next_character(bytes, pos);
    }
    return Value::string(std::move(out), text.text().markup);
}

Value slice_range(const Range& range, const Places& places) {
    const auto at = [&](int64_t place) { return range.start + place * range.step; };
    return Value::range(at(places.start), at(places.stop), places.step * range.step);
}

}  // namespace

Value get_attribute(const Value& object, const std::string& name, Runtime& runtime) {
    if (object.is_undefined()) throw Failure(object.undefined_message());
    if (auto own = own_attribute(object, name)) return *own;
    if (auto item = own_item(object, Value::string(name), runtime.meter())) return *item;
    return no_attribute(object, name);
}

Value get_own_attribute(const Value& object, const std::string& name) {
    if (object.is_undefined()) throw Failure(object.undefined_message());
    if (auto own = own_attribute(object, name)) return *own;
    return no_attribute(object, name);
}

Value get_item(const Value& object, const Value& key, Runtime& runtime) {
    if (object.is_undefined()) throw Failure(object.undefined_message());
    if (auto item = own_item(object, key, runtime.meter())) return *item;
    if (key.is_string()) {
        if (auto own = own_attribute(object, key.str())) return *own;
    }
    return no_element(object, key, runtime.meter());
}

Value slice_of(const Value& object, const Value& start, const Value& stop, const Value& step,
               Runtime& runtime) {
    if (object.is_undefined()) throw Failure(object.undefined_message());
    const bool sliced = object.is_string() || object.is(Kind::kList) || object.is(Kind::kTuple) ||
                        object.is(Kind::kRange);
    // Unlike a missing item, this is an error at once.
    if (!sliced) throw Failure(fmt::format("'{}' object cannot be sliced", type_name(object)));
    for (const Value* part : {&start, &stop, &step}) {
        if (!part->is_none() && !part->is_integral()) {
            throw Failure("slice indices must be integers or None");
        }
    }
    const Places where = places(*length(object), start, stop, step);
    if (object.is_string()) {
        runtime.meter().charge_text(object.str().size());
        return slice_text(object, where);
    }
    if (object.is(Kind::kRange)) return slice_range(object.range(), where);
    runtime.meter().charge(where.count);
    std::vector<Value> out;
    out.reserve(static_cast<size_t>(where.count));
    for (int64_t i = 0; i < where.count; ++i) {
        out.push_back(object.items()[static_cast<size_t>(where.start + i * where.step)]);
    }
    return object.is(Kind::kList) ? Value::list(std::move(out)) : Value::tuple(std::move(out));
}

}  // namespace lowkey::jinja
