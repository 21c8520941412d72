#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "jinja/arguments.h"
#include "jinja/runtime.h"

namespace lowkey::jinja {

/// The variable `loop` of a `for` statement, which also walks it. Items are taken as late as
/// jinja2 takes them, because the loop's condition may depend on what its body did.
class Loop : public Object, public std::enable_shared_from_this<Loop> {
public:
    /// Whether the loop takes an item.
    using Condition = std::function<bool(const Value& item)>;
    /// What loop(iterable) renders.
    using Recursion = std::function<Value(const Value& iterable)>;

    /// `condition` and `recurse` may be empty.
    Loop(std::shared_ptr<Iterator> walk, Condition condition, Recursion recurse, int64_t depth0)
        : walk_(std::move(walk)),
          condition_(std::move(condition)),
          recurse_(std::move(recurse)),
          depth0_(depth0) {}

    /// Moves to the next item; false at the end.
    bool advance();
    /// The one that advance() moved to.
    [[nodiscard]] const Value& item() const { return *current_; }

    [[nodiscard]] std::string type_name() const override { return "LoopContext"; }
    [[nodiscard]] std::string repr(Meter& meter) const override;
    [[nodiscard]] std::optional<Value> attribute(const std::string& name) override;
    [[nodiscard]] bool callable() const override { return true; }
    Value call(Runtime& runtime, const Arguments& arguments) override;
    [[nodiscard]] int depth() const override { return walk_->depth + 1; }
    void clear() override { last_changed_.reset(); }

    /// The argument at the loop's index, over and over.
    Value cycle(const Arguments& arguments) const;
    /// True when called with other values than the last time.
    Value changed(Runtime& runtime, const Arguments& arguments);

private:
    std::optional<Value> take();
    const std::optional<Value>& peek();
    int64_t length();

    std::shared_ptr<Iterator> walk_;
    Condition condition_;
    Recursion recurse_;
    int64_t depth0_;
    int64_t index0_ = -1;
    std::optional<Value> previous_, current_;
    std::optional<std::optional<Value>> ahead_;  // what peek() took; empty inside: the end
    std::optional<Value> last_changed_;
    std::optional<int64_t> length_;
};

}  // namespace lowkey::jinja
