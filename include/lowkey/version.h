#pragma once

#include "lowkey/export.h"

namespace lowkey::api {

/// "0.1.0": of the library that runs, which may be newer than the headers.
LOWKEY_API const char* version();

}  // namespace lowkey::api
