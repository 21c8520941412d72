#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <utility>

#include "jinja/value.h"

namespace lowkey::jinja {

/// The variables of a block, inside those of the block around it. A template, each round of a loop,
/// each call of a macro and each block of `with`, `filter` and the like has a scope of its own.
class Scope {
public:
    explicit Scope(std::shared_ptr<Scope> parent) : parent_(std::move(parent)) {}

    /// Null when no scope has it.
    [[nodiscard]] const Value* find(const std::string& name) const {
        for (const Scope* scope = this; scope != nullptr; scope = scope->parent_.get()) {
            const auto found = scope->variables_.find(name);
            if (found != scope->variables_.end()) return &found->second;
        }
        return nullptr;
    }
    /// Of this scope, whatever those around it have.
    void set(const std::string& name, Value value) { variables_[name] = std::move(value); }
    /// Drops this scope's variables.
    void clear() { variables_.clear(); }

private:
    std::shared_ptr<Scope> parent_;
    std::unordered_map<std::string, Value> variables_;
};

}  // namespace lowkey::jinja
