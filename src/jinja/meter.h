#pragma once

#include <cstdint>
#include <string>

#include "jinja/failure.h"

namespace lowkey::jinja {

/// What rendering one template may take. Templates come with models: they are not trusted.
struct Limits {
    int64_t max_steps = int64_t{1} << 25;        ///< expressions, items, 32 bytes of text: 1 each
    int64_t max_text_bytes = int64_t{64} << 20;  ///< of the output, and of any string
    int max_depth = 1000;                        ///< expressions and statements inside each other
};

/// Counts what a rendering takes. Memory is bounded with the steps, because whatever is made is
/// charged by its size.
class Meter {
public:
    explicit Meter(const Limits& limits) : limits_(limits) {}

    /// Throws Failure when the template has run for too long.
    void charge(int64_t steps) {
        steps_ += steps;
        if (steps_ > limits_.max_steps) too_long();
    }
    /// Charges text that is about to be made or read. Throws Failure when it is too long.
    void charge_text(int64_t bytes) {
        if (bytes > limits_.max_text_bytes) too_large();
        charge(1 + bytes / 32);
    }
    void charge_text(size_t bytes) { charge_text(static_cast<int64_t>(bytes)); }

    /// As they were given.
    [[nodiscard]] const Limits& limits() const { return limits_; }

    /// One level of recursion, for its lifetime: keeps the stack from running out.
    class Level {
    public:
        /// Throws Failure when there are too many.
        explicit Level(Meter& meter) : meter_(meter) {
            if (meter_.depth_ >= meter_.limits_.max_depth) meter_.too_deep();
            ++meter_.depth_;
        }
        ~Level() { --meter_.depth_; }
        Level(const Level&) = delete;
        Level& operator=(const Level&) = delete;

    private:
        Meter& meter_;
    };

private:
    [[noreturn]] void too_long() const {
        throw Failure(
            "the template runs for more than " + std::to_string(limits_.max_steps) + " steps",
            Failure::Reason::kLimit);
    }
    [[noreturn]] void too_large() const {
        throw Failure("the template makes a text of more than " +
                          std::to_string(limits_.max_text_bytes >> 20) + " MiB",
                      Failure::Reason::kLimit);
    }

    [[noreturn]] void too_deep() const {
        throw Failure("calls or expressions inside each other, deeper than " +
                          std::to_string(limits_.max_depth) + " levels",
                      Failure::Reason::kLimit);
    }

    Limits limits_;
    int64_t steps_ = 0;
    int depth_ = 0;
};

}  // namespace lowkey::jinja
