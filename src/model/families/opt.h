#pragma once

#include "model/family.h"

namespace lowkey {

/// OPT.
Family opt_family();

}  // namespace lowkey
