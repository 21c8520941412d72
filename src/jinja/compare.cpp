#include "jinja/compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "jinja/text.h"

namespace lowkey::jinja {
namespace {

// 64 bits of mantissa: holds every int64_t and double exactly.
long double exact(const Value& number) {
    return number.is(Kind::kFloat) ? static_cast<long double>(number.real())
                                   : static_cast<long double>(number.integer());
}

bool equal_items(const std::vector<Value>& a, const std::vector<Value>& b, Meter& meter) {
    return a.size() == b.size() &&
           std::equal(a.begin(), a.end(), b.begin(),
                      [&](const Value& x, const Value& y) { return equals(x, y, meter); });
}

bool equal_dicts(const Dict& a, const Dict& b, Meter& meter) {
    if (a.size() != b.size()) return false;
    return std::all_of(a.entries().begin(), a.entries().end(), [&](const Dict::Entry& entry) {
        const Value* other = b.find(entry.first, meter);
        return other != nullptr && equals(entry.second, *other, meter);
    });
}

bool equal_ranges(const Range& a, const Range& b) {
    if (a.length != b.length) return false;
    if (a.length == 0) return true;
    return a.start == b.start && (a.length == 1 || a.step == b.step);
}

bool equal_texts(const Value& a, const Value& b, Meter& meter) {
    if (a.str().size() != b.str().size()) return false;
    meter.charge_text(a.str().size());
    return a.str() == b.str();
}

bool less_items(const std::vector<Value>& a, const std::vector<Value>& b, Meter& meter) {
    for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
        if (!equals(a[i], b[i], meter)) return less(a[i], b[i], meter);
    }
    return a.size() < b.size();
}

}  // namespace

bool equals(const Value& a, const Value& b, Meter& meter) {
    meter.charge(1);
    if (a.is_number() && b.is_number()) return exact(a) == exact(b);
    if (a.kind() != b.kind()) return false;
    switch (a.kind()) {
        case Kind::kUndefined:
        case Kind::kNone:
            return true;
        case Kind::kString:
            return equal_texts(a, b, meter);
        case Kind::kList:
        case Kind::kTuple:
        case Kind::kView:
            return a.same_as(b) || equal_items(a.items(), b.items(), meter);
        case Kind::kDict:
            return a.same_as(b) || equal_dicts(a.dict(), b.dict(), meter);
        case Kind::kRange:
            return equal_ranges(a.range(), b.range());
        default:
            return a.same_as(b);
    }
}

bool less(const Value& a, const Value& b, Meter& meter) {
    meter.charge(1);
    for (const Value* value : {&a, &b}) {
        if (value->is_undefined()) throw Failure(value->undefined_message());
    }
    if (a.is_number() && b.is_number()) return exact(a) < exact(b);
    if (a.is_string() && b.is_string()) {
        meter.charge_text(std::min(a.str().size(), b.str().size()));
        return a.str() < b.str();  // the order of UTF-8 is that of code points
    }
    if (a.kind() == b.kind() && (a.is(Kind::kList) || a.is(Kind::kTuple))) {
        return less_items(a.items(), b.items(), meter);
    }
    throw Failure(fmt::format("'{}' and '{}' cannot be put in order", type_name(a), type_name(b)));
}

bool less_equal(const Value& a, const Value& b, Meter& meter) {
    if (a.is_number() && b.is_number()) return exact(a) <= exact(b);  // nan is neither
    return less(a, b, meter) || equals(a, b, meter);
}

bool contains(const Value& container, const Value& item, Meter& meter) {
    if (container.is_string()) {
        if (!item.is_string()) {
            throw Failure(fmt::format("'in <string>' requires string as left operand, not {}",
                                      type_name(item)));
        }
        meter.charge_text(container.str().size());
        return find_bytes(container.str(), item.str(), 0) != std::string::npos;
    }
    if (container.is(Kind::kDict)) return container.dict().find(item, meter) != nullptr;
    if (!is_iterable(container)) {
        throw Failure(fmt::format("argument of type '{}' is not iterable", type_name(container)));
    }
    if (container.has_items()) {  // without copying them
        const std::vector<Value>& items = container.items();
        return std::any_of(items.begin(), items.end(),
                           [&](const Value& other) { return equals(other, item, meter); });
    }
    const auto walk = iterate(container, meter);
    while (walk->next < walk->items.size()) {
        if (equals(walk->items[walk->next++], item, meter)) return true;
    }
    return false;
}

size_t hash_of(const Value& value, Meter& meter) {
    meter.charge(1);
    switch (value.kind()) {
        case Kind::kBool:
        case Kind::kInt:
            return std::hash<int64_t>()(value.integer());
        case Kind::kFloat: {
            const double x = value.real();
            const bool whole = std::floor(x) == x && x >= -0x1p63 && x < 0x1p63;
            return whole ? std::hash<int64_t>()(static_cast<int64_t>(x)) : std::hash<double>()(x);
        }
        case Kind::kString:
            meter.charge_text(value.str().size());
            return hash_of(std::string_view(value.str()));
        case Kind::kTuple: {
            size_t hash = 0x9E3779B9;
            for (const Value& item : value.items()) hash = hash * 31 + hash_of(item, meter);
            return hash;
        }
        case Kind::kRange:
            return std::hash<int64_t>()(value.range().length);
        case Kind::kUndefined:
        case Kind::kNone:
            return static_cast<size_t>(value.kind());
        case Kind::kObject:
            return std::hash<const void*>()(&value.object());
        default:
            throw Failure(fmt::format("unhashable type: '{}'", type_name(value)));
    }
}

size_t hash_of(std::string_view text) { return std::hash<std::string_view>()(text); }

}  // namespace lowkey::jinja
