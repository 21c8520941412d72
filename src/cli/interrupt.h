#pragma once

#include <csignal>

namespace lowkey::cli {

/// Catches Ctrl-C (SIGINT) for its lifetime: the first one is only noted, the next ends the program
/// as usual. Reads that wait are woken. One at a time.
class Interrupt {
public:
    Interrupt();
    ~Interrupt();
    Interrupt(const Interrupt&) = delete;
    Interrupt& operator=(const Interrupt&) = delete;

    /// Ctrl-C was pressed since the last clear().
    [[nodiscard]] static bool pressed();
    static void clear();

private:
    struct sigaction before_ = {};
};

}  // namespace lowkey::cli
