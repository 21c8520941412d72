#pragma once

/// Marks what liblowkey exports; everything else in it is hidden.
#define LOWKEY_API __attribute__((visibility("default")))

namespace lowkey {

/// The public classes. Programs write lowkey::Model; lowkey's own sources, which define
/// LOWKEY_INTERNAL and have a Model of their own, write api::Model.
namespace api {}
#ifndef LOWKEY_INTERNAL
using namespace api;
#endif

}  // namespace lowkey
