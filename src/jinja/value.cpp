#include "jinja/value.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "base/unicode.h"
#include "jinja/compare.h"

namespace lowkey::jinja {
namespace {

constexpr int64_t kMaxRange = 100'000;  // as jinja2's sandbox

struct Message : Payload {
    std::string text;
};

int nested(int inner) {
    if (inner >= kMaxNesting) {
        throw Failure(
            fmt::format("lists or dicts inside each other, deeper than {} levels", kMaxNesting),
            Failure::Reason::kLimit);
    }
    return inner + 1;
}

int depth_of(const std::vector<Value>& items) {
    int deepest = 0;
    for (const Value& item : items) deepest = std::max(deepest, item.depth());
    return nested(deepest);
}

std::shared_ptr<Sequence> make_sequence(std::vector<Value> items) {
    auto sequence = std::make_shared<Sequence>();
    sequence->depth = depth_of(items);
    sequence->items = std::move(items);
    return sequence;
}

int64_t range_length(int64_t start, int64_t stop, int64_t step) {
    if (step > 0 ? start >= stop : start <= stop) return 0;
    // Unsigned, where nothing overflows: the distance of two integers fits.
    const auto distance = step > 0 ? static_cast<uint64_t>(stop) - static_cast<uint64_t>(start)
                                   : static_cast<uint64_t>(start) - static_cast<uint64_t>(stop);
    const uint64_t by = step > 0 ? static_cast<uint64_t>(step) : 0 - static_cast<uint64_t>(step);
    return static_cast<int64_t>(std::min<uint64_t>((distance - 1) / by + 1, kMaxRange + 1));
}

std::vector<Value> characters(const Text& text) {
    std::vector<Value> out;
    out.reserve(static_cast<size_t>(text.length));
    for (size_t pos = 0; pos < text.bytes.size();) {
        const size_t start = pos;
        next_code_point(text.bytes, pos);
        out.push_back(Value::string(text.bytes.substr(start, pos - start)));
    }
    return out;
}

std::vector<Value> keys(const Dict& dict) {
    std::vector<Value> out;
    out.reserve(dict.size());
    for (const auto& [key, value] : dict.entries()) out.push_back(key);
    return out;
}

std::vector<Value> numbers(const Range& range) {
    std::vector<Value> out;
    out.reserve(static_cast<size_t>(range.length));
    for (int64_t i = 0; i < range.length; ++i) {
        out.push_back(Value::integer(range.start + i * range.step));
    }
    return out;
}

std::vector<Value> copied_items(const Value& value) {
    switch (value.kind()) {
        case Kind::kUndefined:
            return {};
        case Kind::kString:
            return characters(value.text());
        case Kind::kList:
        case Kind::kTuple:
        case Kind::kView:
            return value.items();
        case Kind::kDict:
            return keys(value.dict());
        case Kind::kRange:
            return numbers(value.range());
        default:
            throw Failure(fmt::format("'{}' object is not iterable", type_name(value)));
    }
}

}  // namespace

Value Value::undefined(std::string message) {
    Value out;
    auto payload = std::make_shared<Message>();
    payload->text = std::move(message);
    out.payload_ = std::move(payload);
    return out;
}

Value Value::none() {
    Value out;
    out.kind_ = Kind::kNone;
    return out;
}

Value Value::boolean(bool value) {
    Value out;
    out.kind_ = Kind::kBool;
    out.integer_ = value ? 1 : 0;
    return out;
}

Value Value::integer(int64_t value) {
    Value out;
    out.kind_ = Kind::kInt;
    out.integer_ = value;
    return out;
}

Value Value::real(double value) {
    Value out;
    out.kind_ = Kind::kFloat;
    out.real_ = value;
    return out;
}

Value Value::string(std::string bytes, bool markup) {
    Value out;
    out.kind_ = Kind::kString;
    auto text = std::make_shared<Text>();
    text->length = num_characters(bytes);
    text->bytes = std::move(bytes);
    text->markup = markup;
    out.payload_ = std::move(text);
    return out;
}

Value Value::list(std::vector<Value> items) {
    Value out;
    out.kind_ = Kind::kList;
    out.payload_ = make_sequence(std::move(items));
    return out;
}

Value Value::tuple(std::vector<Value> items) {
    Value out;
    out.kind_ = Kind::kTuple;
    out.payload_ = make_sequence(std::move(items));
    return out;
}

Value Value::dict(Dict dict) {
    Value out;
    out.kind_ = Kind::kDict;
    out.payload_ = std::make_shared<Dict>(std::move(dict));
    return out;
}

Value Value::view(const char* name, std::vector<Value> items) {
    Value out;
    out.kind_ = Kind::kView;
    auto sequence = make_sequence(std::move(items));
    sequence->name = name;
    out.payload_ = std::move(sequence);
    return out;
}

Value Value::iterator(std::vector<Value> items) {
    Value out;
    out.kind_ = Kind::kIterator;
    auto walk = std::make_shared<Iterator>();
    walk->depth = depth_of(items);
    walk->items = std::move(items);
    out.payload_ = std::move(walk);
    return out;
}

Value Value::range(int64_t start, int64_t stop, int64_t step) {
    auto range = std::make_shared<Range>();
    range->start = start;
    range->step = step;
    range->stop = stop;
    range->length = range_length(start, stop, step);
    if (range->length > kMaxRange) {
        throw Failure(fmt::format("a range of more than {} numbers", kMaxRange),
                      Failure::Reason::kLimit);
    }
    Value out;
    out.kind_ = Kind::kRange;
    out.payload_ = std::move(range);
    return out;
}

Value Value::object(std::shared_ptr<Object> object) {
    Value out;
    out.kind_ = Kind::kObject;
    out.payload_ = std::move(object);
    return out;
}

double Value::number() const {
    return kind_ == Kind::kFloat ? real_ : static_cast<double>(integer_);
}
const Text& Value::text() const { return static_cast<const Text&>(*payload_); }
const std::vector<Value>& Value::items() const {
    return static_cast<const Sequence&>(*payload_).items;
}
const char* Value::view_name() const { return static_cast<const Sequence&>(*payload_).name; }
const Dict& Value::dict() const { return static_cast<const Dict&>(*payload_); }
const Range& Value::range() const { return static_cast<const Range&>(*payload_); }
Iterator& Value::iterator() const { return static_cast<Iterator&>(*payload_); }
Object& Value::object() const { return static_cast<Object&>(*payload_); }
std::shared_ptr<Object> Value::shared_object() const {
    return std::static_pointer_cast<Object>(payload_);
}

std::string Value::undefined_message() const {
    return payload_ == nullptr ? "an undefined value is used"
                               : static_cast<const Message&>(*payload_).text;
}

int Value::depth() const {
    switch (kind_) {
        case Kind::kList:
        case Kind::kTuple:
        case Kind::kView:
            return static_cast<const Sequence&>(*payload_).depth;
        case Kind::kDict:
            return dict().depth();
        case Kind::kIterator:
            return iterator().depth;
        case Kind::kObject:
            return object().depth();
        default:
            return 0;
    }
}

bool Value::same_as(const Value& other) const {
    if (kind_ != other.kind_) return false;
    switch (kind_) {
        case Kind::kUndefined:
        case Kind::kNone:
            return true;
        case Kind::kBool:
        case Kind::kInt:
            return integer_ == other.integer_;
        case Kind::kFloat:
            return real_ == other.real_;
        default:
            return payload_ == other.payload_;
    }
}

std::optional<size_t> Dict::place(const Value& key, size_t hash, Meter& meter) const {
    const auto [begin, end] = index_.equal_range(hash);
    for (auto it = begin; it != end; ++it) {
        if (equals(entries_[it->second].first, key, meter)) return it->second;
    }
    return std::nullopt;
}

void Dict::put(std::optional<size_t> place, size_t hash, const Value& key, Value value) {
    depth_ = std::max(depth_, nested(std::max(key.depth(), value.depth())));
    if (place) {
        entries_[*place].second = std::move(value);
    } else {
        index_.emplace(hash, entries_.size());
        entries_.emplace_back(key, std::move(value));
    }
}

const Value* Dict::find(const Value& key, Meter& meter) const {
    const auto found = place(key, hash_of(key, meter), meter);
    return found ? &entries_[*found].second : nullptr;
}

const Value* Dict::find(std::string_view key) const {
    const auto [begin, end] = index_.equal_range(hash_of(key));
    for (auto it = begin; it != end; ++it) {
        const Entry& entry = entries_[it->second];
        if (entry.first.is_string() && entry.first.str() == key) return &entry.second;
    }
    return nullptr;
}

void Dict::set(const Value& key, Value value, Meter& meter) {
    const size_t hash = hash_of(key, meter);
    put(place(key, hash, meter), hash, key, std::move(value));
}

void Dict::set(std::string_view key, Value value) {
    const size_t hash = hash_of(key);
    const Value* found = find(key);
    std::optional<size_t> at;
    if (found != nullptr) {
        const auto [begin, end] = index_.equal_range(hash);
        for (auto it = begin; it != end; ++it) {
            if (&entries_[it->second].second == found) at = it->second;
        }
    }
    put(at, hash, Value::string(std::string(key)), std::move(value));
}

std::string Object::repr(Meter& /*meter*/) const { return fmt::format("<{} object>", type_name()); }
std::optional<Value> Object::attribute(const std::string& /*name*/) { return std::nullopt; }
Value Object::call(Runtime& /*runtime*/, const Arguments& /*arguments*/) {
    throw Failure(fmt::format("'{}' object is not callable", type_name()));
}

std::string type_name(const Value& value) {
    switch (value.kind()) {
        case Kind::kUndefined:
            return "Undefined";
        case Kind::kNone:
            return "NoneType";
        case Kind::kBool:
            return "bool";
        case Kind::kInt:
            return "int";
        case Kind::kFloat:
            return "float";
        case Kind::kString:
            return value.text().markup ? "Markup" : "str";
        case Kind::kList:
            return "list";
        case Kind::kTuple:
            return "tuple";
        case Kind::kDict:
            return "dict";
        case Kind::kView:
            return value.view_name();
        case Kind::kRange:
            return "range";
        case Kind::kIterator:
            return "generator";
        case Kind::kObject:
            return value.object().type_name();
    }
    return "";
}

bool truthy(const Value& value) {
    switch (value.kind()) {
        case Kind::kUndefined:
        case Kind::kNone:
            return false;
        case Kind::kBool:
        case Kind::kInt:
            return value.integer() != 0;
        case Kind::kFloat:
            return value.real() != 0;
        case Kind::kIterator:
        case Kind::kObject:
            return true;
        default:
            return *length(value) != 0;
    }
}

std::optional<int64_t> length(const Value& value) {
    switch (value.kind()) {
        case Kind::kUndefined:
            return 0;
        case Kind::kString:
            return value.text().length;
        case Kind::kList:
        case Kind::kTuple:
        case Kind::kView:
            return static_cast<int64_t>(value.items().size());
        case Kind::kDict:
            return static_cast<int64_t>(value.dict().size());
        case Kind::kRange:
            return value.range().length;
        default:
            return std::nullopt;
    }
}

std::shared_ptr<Iterator> iterate(const Value& value, Meter& meter) {
    if (value.is(Kind::kIterator)) {
        // The walk itself, kept alive with the value.
        auto owner = std::make_shared<Value>(value);
        return {owner, &value.iterator()};
    }
    meter.charge(length(value).value_or(0));
    auto walk = std::make_shared<Iterator>();
    walk->items = copied_items(value);
    walk->depth = value.depth();
    return walk;
}

std::vector<Value> to_items(const Value& value, Meter& meter) {
    if (!value.is(Kind::kIterator)) {
        meter.charge(length(value).value_or(0));
        return copied_items(value);
    }
    Iterator& walk = value.iterator();
    std::vector<Value> rest(walk.items.begin() + static_cast<ptrdiff_t>(walk.next),
                            walk.items.end());
    walk.next = walk.items.size();
    meter.charge(static_cast<int64_t>(rest.size()));
    return rest;
}

bool is_iterable(const Value& value) {
    return value.is(Kind::kIterator) || length(value).has_value();
}

}  // namespace lowkey::jinja
