#pragma once

#include <stdexcept>
#include <string>

namespace lowkey::jinja {

/// Why a template cannot go on, without the place: Template adds template and line and makes an
/// Error of it. Never leaves this folder.
class Failure : public std::runtime_error {
public:
    /// Whose fault it is, which decides the kind of Error.
    enum class Reason {
        kWrong,        ///< the template or its data do what Jinja refuses
        kUnsupported,  ///< Jinja that is outside our subset
        kRaised,       ///< the template called raise_exception()
        kLimit,        ///< the template takes more than it may
    };
    explicit Failure(const std::string& what, Reason reason = Reason::kWrong)
        : std::runtime_error(what), reason_(reason) {}
    [[nodiscard]] Reason reason() const { return reason_; }

private:
    Reason reason_;
};

}  // namespace lowkey::jinja
