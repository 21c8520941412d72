#define PCRE2_CODE_UNIT_WIDTH 8
#include "tokenizer/regex.h"

#include <pcre2.h>
#include <time.h>

#include <algorithm>

#include "base/error.h"
#include "tokenizer/regex_dialect.h"

namespace lowkey {
namespace {

// Steps of one match: patterns that are fit for use take a few for each byte that they look at.
constexpr size_t kBaseSteps = 10'000'000;
constexpr size_t kStepsPerByte = 16;
constexpr uint32_t kHeapLimitKib = 256 * 1024;  // memory of one match
constexpr size_t kJitStackBytes = size_t{8} << 20;
constexpr size_t kMaxPatternBytes = size_t{1} << 16;
constexpr size_t kWindow = 256;         // starts tried in one call, so that time can be checked
constexpr size_t kStepsPerCheck = 256;  // calls between two looks at the clock
// Published patterns take 0.05 microseconds a byte.
constexpr double kBaseSeconds = 10;
constexpr double kSecondsPerByte = 2e-6;

const pcre2_code* code_of(const std::shared_ptr<const void>& code) {
    return static_cast<const pcre2_code*>(code.get());
}

double thread_seconds() {
    timespec now = {};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

std::string message_of(int code) {
    PCRE2_UCHAR text[256] = {};
    pcre2_get_error_message(code, text, sizeof text);
    return reinterpret_cast<const char*>(text);
}

pcre2_code* compile(const std::string& pattern, int& error, size_t& offset) {
    using Context = std::unique_ptr<pcre2_compile_context, decltype(&pcre2_compile_context_free)>;
    const Context context(pcre2_compile_context_create(nullptr), pcre2_compile_context_free);
    LOWKEY_CHECK(context != nullptr);
    pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
    pcre2_set_max_pattern_length(context.get(), kMaxPatternBytes);
    return pcre2_compile(
        reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
        PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C | PCRE2_USE_OFFSET_LIMIT,
        &error, &offset, context.get());
}

}  // namespace

Regex::Regex(const std::string& pattern, std::string where) : where_(std::move(where)) {
    std::string translated;
    try {
        translated = to_pcre2(pattern);
    } catch (const DialectError& e) {
        throw UnsupportedError(
            std::string("regular expression with ") + e.what() + " is not supported", where_,
            "use a tokenizer without it");
    }
    int error = 0;
    size_t offset = 0;
    pcre2_code* code = compile(translated, error, offset);
    if (code == nullptr) {
        throw FileError("malformed regular expression (" + message_of(error) + ")", where_,
                        "check the file, or get it again");
    }
    code_ = std::shared_ptr<const void>(code, [](const void* p) {
        // NOLINTNEXTLINE(cppcoreguidelines-pro-type-const-cast): shared_ptr<const void> lost it
        pcre2_code_free(static_cast<pcre2_code*>(const_cast<void*>(p)));
    });
    // Without the compiler (as on machines that forbid it) matching is interpreted: slow, but
    // right.
    pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
}

struct RegexMatcher::State {
    State()
        : data(pcre2_match_data_create(1, nullptr)),
          context(pcre2_match_context_create(nullptr)),
          stack(pcre2_jit_stack_create(size_t{32} << 10, kJitStackBytes, nullptr)) {
        LOWKEY_CHECK(data != nullptr && context != nullptr);
        pcre2_set_heap_limit(context, kHeapLimitKib);
        if (stack != nullptr) pcre2_jit_stack_assign(context, nullptr, stack);
    }
    ~State() {
        pcre2_jit_stack_free(stack);
        pcre2_match_context_free(context);
        pcre2_match_data_free(data);
    }
    State(const State&) = delete;
    State& operator=(const State&) = delete;

    pcre2_match_data* data;
    pcre2_match_context* context;
    pcre2_jit_stack* stack;
};

RegexMatcher::RegexMatcher(const Regex& regex)
    : regex_(regex), state_(std::make_unique<State>()), started_seconds_(thread_seconds()) {}
RegexMatcher::~RegexMatcher() = default;

size_t RegexMatcher::next_start(std::string_view text, size_t pos) {
    ++pos;
    while (pos < text.size() && (static_cast<unsigned char>(text[pos]) & 0xC0U) == 0x80) ++pos;
    return pos;
}

void RegexMatcher::check_time(size_t text_bytes) {
    const double passed = thread_seconds() - started_seconds_;
    const auto bytes = static_cast<double>(std::max(text_bytes, seen_bytes_));
    if (passed > kBaseSeconds + kSecondsPerByte * bytes) {
        throw FileError("regular expression takes too long on this text", regex_.where_,
                        "use another tokenizer file");
    }
}

std::optional<TextRange> RegexMatcher::find(std::string_view text, size_t start) {
    const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
    const pcre2_code* code = code_of(regex_.code_);
    const size_t steps = kBaseSteps + kStepsPerByte * (text.size() - std::min(start, text.size()));
    pcre2_set_match_limit(state_->context,
                          static_cast<uint32_t>(std::min<size_t>(steps, UINT32_MAX)));
    while (start <= text.size()) {
        if (++num_steps_ % kStepsPerCheck == 0) check_time(text.size());
        const size_t last_start = std::min(start + kWindow, text.size());
        pcre2_set_offset_limit(state_->context, last_start);
        int found = pcre2_match(code, subject, text.size(), start, PCRE2_NO_UTF_CHECK, state_->data,
                                state_->context);
        if (found == PCRE2_ERROR_JIT_STACKLIMIT) {
            found = pcre2_match(code, subject, text.size(), start,
                                PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, state_->data, state_->context);
        }
        if (found == PCRE2_ERROR_NOMATCH) {
            start = next_start(text, last_start);
            continue;
        }
        const size_t* range = pcre2_get_ovector_pointer(state_->data);
        if (found < 0 || range[0] < start || range[1] < range[0]) {
            throw FileError("regular expression fails on this text (" +
                                (found < 0 ? message_of(found) : "it matches backwards") + ")",
                            regex_.where_, "use another tokenizer file");
        }
        return TextRange{range[0], range[1]};
    }
    return std::nullopt;
}

}  // namespace lowkey
