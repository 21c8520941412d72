#include "lowkey/runtime.h"

#include <mutex>

#include "api/access.h"
#include "base/error.h"
#include "base/parallel.h"
#include "base/progress.h"
#include "lowkey/version.h"

namespace lowkey::api {

int num_threads() { return lowkey::num_threads(); }

void set_num_threads(int threads) {
    check_range("threads", threads, 1, 1024);
    lowkey::set_num_threads(threads);
}

void be_quiet_by_default() {
    static std::once_flag once;
    std::call_once(once, [] { Progress::set_enabled(false); });
}

void set_progress(bool shown) {
    be_quiet_by_default();
    Progress::set_enabled(shown);
}

const char* version() { return LOWKEY_VERSION; }

void check_range(const char* name, int64_t value, int64_t low, int64_t high) {
    if (value >= low && value <= high) return;
    throw UsageError(std::string(name) + " is " + std::to_string(value), "",
                     "give " + std::to_string(low) + " to " + std::to_string(high));
}

}  // namespace lowkey::api
