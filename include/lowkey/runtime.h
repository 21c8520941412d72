#pragma once

#include "lowkey/export.h"

namespace lowkey::api {

/// Threads that lowkey computes with: one per physical core, unless set. Of the whole process,
/// since there is one pool of threads.
LOWKEY_API int num_threads();
/// Throws UsageError below 1 and above 1024. Not while another thread computes.
LOWKEY_API void set_num_threads(int threads);

/// Whether long work (calibration, planning) draws progress lines on stderr. It does not at first.
/// The library prints nothing else.
LOWKEY_API void set_progress(bool shown);

}  // namespace lowkey::api
