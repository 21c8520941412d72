#include "jinja/functions.h"

#include <fmt/format.h>

#include <sys/time.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <unordered_map>

#include "jinja/methods.h"
#include "jinja/repr.h"

namespace lowkey::jinja {
namespace {

constexpr size_t kMaxTimeFormat = 256;

using Code = Value (*)(Runtime& runtime, const Arguments& arguments);

class Function : public Object {
public:
    explicit Function(Code code) : code_(code) {}
    [[nodiscard]] std::string type_name() const override { return "function"; }
    [[nodiscard]] bool callable() const override { return true; }
    Value call(Runtime& runtime, const Arguments& arguments) override {
        return code_(runtime, arguments);
    }

private:
    Code code_;
};

/// A method of one of the objects below.
template <typename Owner>
class OwnMethod : public Object {
public:
    using Body = Value (Owner::*)(const Arguments&);
    OwnMethod(std::shared_ptr<Owner> owner, Body body) : owner_(std::move(owner)), body_(body) {}
    [[nodiscard]] std::string type_name() const override { return "method"; }
    [[nodiscard]] bool callable() const override { return true; }
    [[nodiscard]] int depth() const override { return owner_->depth(); }
    Value call(Runtime& /*runtime*/, const Arguments& arguments) override {
        return ((*owner_).*body_)(arguments);
    }

private:
    std::shared_ptr<Owner> owner_;
    Body body_;
};

/// cycler(a, b, ...): next() gives one after the other, and again.
class Cycler : public Object, public std::enable_shared_from_this<Cycler> {
public:
    explicit Cycler(const Value& items) : items_(items) {}
    [[nodiscard]] std::string type_name() const override { return "Cycler"; }
    [[nodiscard]] int depth() const override { return items_.depth(); }
    [[nodiscard]] std::optional<Value> attribute(const std::string& name) override {
        if (name == "current") return items_.items()[next_];
        if (name == "next") return method(&Cycler::next);
        if (name == "reset") return method(&Cycler::reset);
        return std::nullopt;
    }

private:
    Value method(Value (Cycler::*body)(const Arguments&)) {
        return Value::object(std::make_shared<OwnMethod<Cycler>>(shared_from_this(), body));
    }
    Value next(const Arguments& arguments) {
        arguments.expect_none("next");
        Value out = items_.items()[next_];
        next_ = (next_ + 1) % items_.items().size();
        return out;
    }
    Value reset(const Arguments& arguments) {
        arguments.expect_none("reset");
        next_ = 0;
        return Value::none();
    }

    Value items_;
    size_t next_ = 0;
};

/// joiner(separator): nothing at the first call, the separator from then on.
class Joiner : public Object {
public:
    explicit Joiner(std::string separator) : separator_(std::move(separator)) {}
    [[nodiscard]] std::string type_name() const override { return "Joiner"; }
    [[nodiscard]] bool callable() const override { return true; }
    Value call(Runtime& /*runtime*/, const Arguments& arguments) override {
        arguments.expect_none("joiner");
        return Value::string(std::exchange(used_, true) ? separator_ : "");
    }

private:
    std::string separator_;
    bool used_ = false;
};

void check_attribute_name(const std::string& name) {
    if (name.starts_with("_")) {
        throw Failure(fmt::format(
            "a namespace cannot have an attribute that begins with an underscore: '{}'", name));
    }
}

// What Python's dict(...) takes: a mapping or pairs, and keyword arguments.
Dict make_dict(Runtime& runtime, const Arguments& arguments) {
    Meter& meter = runtime.meter();
    Dict out;
    if (arguments.positional.size() > 1) throw Failure("dict expected at most 1 argument");
    if (!arguments.positional.empty() && arguments.positional.front().is(Kind::kDict)) {
        out = arguments.positional.front().dict();
        meter.charge(static_cast<int64_t>(out.size()) * 4);
    } else if (!arguments.positional.empty()) {
        for (const Value& item : to_items(arguments.positional.front(), meter)) {
            const std::vector<Value> pair = to_items(item, meter);
            if (pair.size() != 2)
                throw Failure(fmt::format("dict() takes pairs, not {}", type_name(item)));
            meter.charge(4);
            out.set(pair[0], pair[1], meter);
        }
    }
    for (const auto& [name, value] : arguments.named) out.set(name, value);
    return out;
}

Value range_function(Runtime& /*runtime*/, const Arguments& arguments) {
    arguments.no_names("range");
    const Bound bound = arguments.bind("range", {"start", "stop", "step"}, 1);
    if (!bound.has(1)) return Value::range(0, bound.integer(0), 1);
    const int64_t step = bound.integer_or(2, 1);
    if (step == 0) throw Failure("range() arg 3 must not be zero");
    return Value::range(bound.integer(0), bound.integer(1), step);
}

Value dict_function(Runtime& runtime, const Arguments& arguments) {
    return Value::dict(make_dict(runtime, arguments));
}

Value namespace_function(Runtime& runtime, const Arguments& arguments) {
    Dict attributes = make_dict(runtime, arguments);
    for (const auto& [key, value] : attributes.entries()) {
        if (key.is_string()) check_attribute_name(key.str());
    }
    auto object = std::make_shared<Namespace>(std::move(attributes));
    runtime.keep(object);
    return Value::object(std::move(object));
}

Value cycler_function(Runtime& /*runtime*/, const Arguments& arguments) {
    arguments.no_names("cycler");
    if (arguments.positional.empty()) throw Failure("at least one item has to be provided");
    return Value::object(std::make_shared<Cycler>(Value::tuple(arguments.positional)));
}

Value joiner_function(Runtime& /*runtime*/, const Arguments& arguments) {
    const Bound bound = arguments.bind("joiner", {"sep"});
    return Value::object(std::make_shared<Joiner>(bound.string_or(0, ", ")));
}

Value raise_function(Runtime& runtime, const Arguments& arguments) {
    const Bound bound = arguments.bind("raise_exception", {"message"}, 1);
    throw Failure(to_text(bound.at(0), runtime.meter()), Failure::Reason::kRaised);
}

// What strftime() leaves to datetime: microseconds, and zones, which local times do not name.
std::string expand_microseconds(const std::string& format, int64_t microseconds) {
    std::string digits = std::to_string(1'000'000 + microseconds).substr(1);
    std::string out;
    for (size_t i = 0; i < format.size(); ++i) {
        const char next = format[i] == '%' && i + 1 < format.size() ? format[i + 1] : '\0';
        if (next == 'f') {
            out += digits;
        } else if (next != '\0' && next != 'z' && next != 'Z') {
            out += format.substr(i, 2);
        } else if (next == '\0') {
            out += format[i];
            continue;
        }
        ++i;
    }
    return out;
}

Value strftime_function(Runtime& /*runtime*/, const Arguments& arguments) {
    const Bound bound = arguments.bind("strftime_now", {"format"}, 1);
    if (bound.string(0).size() > kMaxTimeFormat) {
        throw Failure(fmt::format("a time format of more than {} bytes", kMaxTimeFormat),
                      Failure::Reason::kLimit);
    }
    timeval now{};
    gettimeofday(&now, nullptr);
    std::tm local{};
    localtime_r(&now.tv_sec, &local);
    // A character in front: nothing written then means that it did not fit.
    const std::string format =
        fmt::format(" {}", expand_microseconds(bound.string(0), now.tv_usec));
    std::array<char, 8192> buffer{};
    const size_t size = std::strftime(buffer.data(), buffer.size(), format.c_str(), &local);
    if (size == 0) throw Failure("a time of more than 8 KiB", Failure::Reason::kLimit);
    return Value::string(std::string(buffer.data() + 1, size - 1));
}

}  // namespace

std::string Namespace::repr(Meter& meter) const {
    const Meter::Level level(meter);
    std::string out = "<Namespace {";
    bool first = true;
    for (const auto& [key, value] : attributes_.entries()) {
        if (!first) out += ", ";
        first = false;
        out += jinja::repr(key, meter) + ": " + jinja::repr(value, meter);
        meter.charge_text(out.size());
    }
    return out + "}>";
}

std::optional<Value> Namespace::attribute(const std::string& name) {
    const Value* found = attributes_.find(name);
    return found != nullptr ? std::optional<Value>(*found) : std::nullopt;
}

void Namespace::set(const std::string& name, Value value) {
    check_attribute_name(name);
    attributes_.set(name, std::move(value));
}

const Value* find_function(const std::string& name) {
    const auto make = [](Code code) { return Value::object(std::make_shared<Function>(code)); };
    static const std::unordered_map<std::string, Value> table = {
        {"range", make(range_function)},           {"dict", make(dict_function)},
        {"namespace", make(namespace_function)},   {"cycler", make(cycler_function)},
        {"joiner", make(joiner_function)},         {"raise_exception", make(raise_function)},
        {"strftime_now", make(strftime_function)},
    };
    const auto found = table.find(name);
    return found != table.end() ? &found->second : nullptr;
}

}  // namespace lowkey::jinja
