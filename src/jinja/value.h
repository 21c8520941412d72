#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "jinja/meter.h"

namespace lowkey::jinja {

class Arguments;
class Dict;
class Object;
class Runtime;

/// The types of Python that templates see. kView is what dict.items() gives (can be iterated again
/// and again), kIterator what the filter `map` gives (once); kObject is all that has methods or can
/// be called: macros, namespaces, loops, functions.
enum class Kind : uint8_t {
    kUndefined,
    kNone,
    kBool,
    kInt,
    kFloat,
    kString,
    kList,
    kTuple,
    kDict,
    kView,
    kRange,
    kIterator,
    kObject,
};

/// Containers in containers, at most: whoever walks a value may recurse.
inline constexpr int kMaxNesting = 100;

/// What a value refers to.
struct Payload {
    virtual ~Payload() = default;
};

/// Valid UTF-8. `markup` is what the filters `escape` and `safe` give: text that is joined with it
/// by `+` gets escaped.
struct Text : Payload {
    std::string bytes;
    int64_t length = 0;  ///< in code points
    bool markup = false;
};

/// What range() gives: numbers that are not written out.
struct Range : Payload {
    int64_t start = 0;
    int64_t step = 1;
    int64_t length = 0;
    int64_t stop = 0;
};

struct Iterator;

/// A Python value as templates see it. Immutable but for iterators and objects; copies share.
/// Accessors expect the kind that they name.
class Value {
public:
    /// Undefined.
    Value() = default;

    /// `message`: what using it says.
    static Value undefined(std::string message);
    // A value of each kind; `bytes` must be valid UTF-8.
    static Value none();
    static Value boolean(bool value);
    static Value integer(int64_t value);
    static Value real(double value);
    static Value string(std::string bytes, bool markup = false);
    // Containers throw Failure when they are nested too deeply.
    static Value list(std::vector<Value> items);
    static Value tuple(std::vector<Value> items);
    static Value dict(Dict dict);
    /// `name` is that of Python's type, as "dict_items".
    static Value view(const char* name, std::vector<Value> items);
    static Value iterator(std::vector<Value> items);
    /// `step` must not be 0. Throws Failure when it is longer than jinja2's sandbox allows.
    static Value range(int64_t start, int64_t stop, int64_t step);
    static Value object(std::shared_ptr<Object> object);

    // Of what kind it is.
    [[nodiscard]] Kind kind() const { return kind_; }
    [[nodiscard]] bool is(Kind kind) const { return kind_ == kind; }
    [[nodiscard]] bool is_undefined() const { return kind_ == Kind::kUndefined; }
    [[nodiscard]] bool is_none() const { return kind_ == Kind::kNone; }
    [[nodiscard]] bool is_string() const { return kind_ == Kind::kString; }
    /// An int, or a bool, which counts as one.
    [[nodiscard]] bool is_integral() const { return kind_ == Kind::kInt || kind_ == Kind::kBool; }
    [[nodiscard]] bool is_number() const { return is_integral() || kind_ == Kind::kFloat; }
    /// A list, tuple or view: what has items().
    [[nodiscard]] bool has_items() const {
        return kind_ == Kind::kList || kind_ == Kind::kTuple || kind_ == Kind::kView;
    }

    // What it holds; the value must be of that kind.
    [[nodiscard]] int64_t integer() const { return integer_; }  ///< is_integral()
    [[nodiscard]] double real() const { return real_; }         ///< kFloat
    [[nodiscard]] double number() const;                        ///< is_number()
    [[nodiscard]] const Text& text() const;
    [[nodiscard]] const std::string& str() const { return text().bytes; }
    [[nodiscard]] const std::vector<Value>& items() const;  ///< has_items()
    [[nodiscard]] const char* view_name() const;            ///< kView
    [[nodiscard]] const Dict& dict() const;
    [[nodiscard]] const Range& range() const;
    [[nodiscard]] Iterator& iterator() const;
    [[nodiscard]] Object& object() const;
    [[nodiscard]] std::shared_ptr<Object> shared_object() const;
    /// Of an undefined value: what using it says.
    [[nodiscard]] std::string undefined_message() const;

    /// Levels of containers, 0 for a number or string.
    [[nodiscard]] int depth() const;
    /// The same value in memory, as `is` asks in Python.
    [[nodiscard]] bool same_as(const Value& other) const;

private:
    Kind kind_ = Kind::kUndefined;
    union {
        int64_t integer_ = 0;
        double real_;
    };
    std::shared_ptr<Payload> payload_;
};

/// The items of a list, tuple or view.
struct Sequence : Payload {
    std::vector<Value> items;
    int depth = 1;
    const char* name = "";  ///< of a view
};

/// A one-way walk over items that were made in advance.
struct Iterator : Payload {
    std::vector<Value> items;
    size_t next = 0;
    int depth = 1;
};

/// Keys in the order in which they came. Equal numbers are equal keys, as in Python.
class Dict : public Payload {
public:
    using Entry = std::pair<Value, Value>;

    /// In their order.
    [[nodiscard]] const std::vector<Entry>& entries() const { return entries_; }
    [[nodiscard]] size_t size() const { return entries_.size(); }
    /// Null when there is no such key. Throws Failure for a key of a type that can be none.
    [[nodiscard]] const Value* find(const Value& key, Meter& meter) const;
    [[nodiscard]] const Value* find(std::string_view key) const;
    /// A key that is there keeps its place.
    void set(const Value& key, Value value, Meter& meter);
    void set(std::string_view key, Value value);
    /// As Value::depth().
    [[nodiscard]] int depth() const { return depth_; }

private:
    [[nodiscard]] std::optional<size_t> place(const Value& key, size_t hash, Meter& meter) const;
    void put(std::optional<size_t> place, size_t hash, const Value& key, Value value);

    std::vector<Entry> entries_;
    // Hash of the key -> entry. Ordered, so that no choice of keys makes it slow.
    std::multimap<size_t, size_t> index_;
    int depth_ = 1;
};

/// What has attributes of its own or can be called.
class Object : public Payload {
public:
    /// Of Python's type, for messages.
    [[nodiscard]] virtual std::string type_name() const = 0;
    /// As repr() writes it.
    [[nodiscard]] virtual std::string repr(Meter& meter) const;
    /// Nothing when there is none of this name.
    [[nodiscard]] virtual std::optional<Value> attribute(const std::string& name);
    [[nodiscard]] virtual bool callable() const { return false; }
    /// Throws Failure when it is not callable.
    virtual Value call(Runtime& runtime, const Arguments& arguments);
    /// As Value::depth().
    [[nodiscard]] virtual int depth() const { return 1; }
    /// Drops what it refers to: called on all that could refer to themselves, when rendering ends.
    virtual void clear() {}
};

/// The name of the value's Python type: "str", "dict", "NoneType", ...
std::string type_name(const Value& value);
/// What bool() gives.
bool truthy(const Value& value);
/// What len() gives; nothing for what has no length.
std::optional<int64_t> length(const Value& value);

/// A walk over any iterable; an iterator value itself is walked, not a copy. Throws Failure for
/// what cannot be iterated.
std::shared_ptr<Iterator> iterate(const Value& value, Meter& meter);
/// All that is left of such a walk.
std::vector<Value> to_items(const Value& value, Meter& meter);
/// Whether iterate() takes it.
bool is_iterable(const Value& value);

}  // namespace lowkey::jinja
