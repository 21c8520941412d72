#pragma once

#include <memory>

#include "kvcache/codec.h"

namespace lowkey {

/// "dense": every coordinate of the vector (keys after rotation) in bf16 or f32.
/// Settings: "dtype" ("bf16", "f32"; default: that of the run).
std::shared_ptr<const KeyCodec> make_dense_key_codec(const CodecSpec& spec,
                                                     const CodecContext& context);
std::shared_ptr<const ValueCodec> make_dense_value_codec(const CodecSpec& spec,
                                                         const CodecContext& context);

}  // namespace lowkey
