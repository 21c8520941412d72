#include "jinja/loop.h"

#include <fmt/format.h>

#include "jinja/compare.h"

namespace lowkey::jinja {
namespace {

/// loop.cycle and loop.changed.
class LoopMethod : public Object {
public:
    LoopMethod(std::shared_ptr<Loop> loop, bool cycles) : loop_(std::move(loop)), cycles_(cycles) {}
    [[nodiscard]] std::string type_name() const override { return "method"; }
    [[nodiscard]] bool callable() const override { return true; }
    [[nodiscard]] int depth() const override { return loop_->depth(); }
    Value call(Runtime& runtime, const Arguments& arguments) override {
        return cycles_ ? loop_->cycle(arguments) : loop_->changed(runtime, arguments);
    }

private:
    std::shared_ptr<Loop> loop_;
    bool cycles_;
};

}  // namespace

std::optional<Value> Loop::take() {
    while (walk_->next < walk_->items.size()) {
        Value item = walk_->items[walk_->next++];
        if (!condition_ || condition_(item)) return item;
    }
    return std::nullopt;
}

const std::optional<Value>& Loop::peek() {
    if (!ahead_) ahead_ = take();
    return *ahead_;
}

bool Loop::advance() {
    std::optional<Value> next = peek();
    ahead_.reset();
    if (!next) return false;
    ++index0_;
    previous_ = std::exchange(current_, std::move(next));
    return true;
}

int64_t Loop::length() {
    if (length_) return *length_;
    // What is left becomes the walk.
    auto rest = std::make_shared<Iterator>();
    rest->depth = walk_->depth;
    while (auto item = take()) rest->items.push_back(std::move(*item));
    const bool peeked = ahead_.has_value() && ahead_->has_value();
    length_ = index0_ + 1 + static_cast<int64_t>(rest->items.size()) + (peeked ? 1 : 0);
    walk_ = std::move(rest);
    condition_ = nullptr;
    return *length_;
}

std::string Loop::repr(Meter& /*meter*/) const {
    return fmt::format("<LoopContext {}>", index0_ + 1);
}

std::optional<Value> Loop::attribute(const std::string& name) {
    const auto number = [](int64_t value) { return Value::integer(value); };
    if (name == "index") return number(index0_ + 1);
    if (name == "index0") return number(index0_);
    if (name == "first") return Value::boolean(index0_ == 0);
    if (name == "last") return Value::boolean(!peek().has_value());
    if (name == "length") return number(length());
    if (name == "revindex") return number(length() - index0_);
    if (name == "revindex0") return number(length() - index0_ - 1);
    if (name == "depth") return number(depth0_ + 1);
    if (name == "depth0") return number(depth0_);
    if (name == "previtem") {
        return previous_ ? *previous_ : Value::undefined("there is no previous item");
    }
    if (name == "nextitem") {
        return peek() ? *peek() : Value::undefined("there is no next item");
    }
    if (name == "cycle" || name == "changed") {
        return Value::object(std::make_shared<LoopMethod>(shared_from_this(), name == "cycle"));
    }
    return std::nullopt;
}

Value Loop::call(Runtime& /*runtime*/, const Arguments& arguments) {
    const Bound bound = arguments.bind("loop", {"iterable"}, 1);
    if (!recurse_) {
        throw Failure("The loop must have the 'recursive' marker to be called recursively.");
    }
    return recurse_(bound.at(0));
}

Value Loop::cycle(const Arguments& arguments) const {
    arguments.no_names("cycle");
    if (arguments.positional.empty()) throw Failure("no items for cycling given");
    return arguments.positional[static_cast<size_t>(index0_) % arguments.positional.size()];
}

Value Loop::changed(Runtime& runtime, const Arguments& arguments) {
    arguments.no_names("changed");
    const Value now = Value::tuple(arguments.positional);
    if (last_changed_ && equals(*last_changed_, now, runtime.meter())) return Value::boolean(false);
    if (!last_changed_) runtime.keep(shared_from_this());  // the value could be this loop
    last_changed_ = now;
    return Value::boolean(true);
}

}  // namespace lowkey::jinja
