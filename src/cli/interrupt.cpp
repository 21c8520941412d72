#include "cli/interrupt.h"

#include <unistd.h>

namespace lowkey::cli {
namespace {

constexpr int kInterruptedExitCode = 128 + SIGINT;

// A signal handler reaches nothing else than a global variable.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables)
volatile std::sig_atomic_t interrupt_pressed = 0;

// Does only what a signal handler may.
void note_interrupt(int /*signal*/) {
    if (interrupt_pressed != 0) _exit(kInterruptedExitCode);
    interrupt_pressed = 1;
}

}  // namespace

Interrupt::Interrupt() {
    clear();
    struct sigaction action = {};
    action.sa_handler = note_interrupt;  // without SA_RESTART: a waiting read() returns
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, &before_);
}

Interrupt::~Interrupt() { sigaction(SIGINT, &before_, nullptr); }

bool Interrupt::pressed() { return interrupt_pressed != 0; }
void Interrupt::clear() { interrupt_pressed = 0; }

}  // namespace lowkey::cli
