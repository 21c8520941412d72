#pragma once

#include <memory>

#include "kvcache/codec.h"

namespace lowkey {

/// "low_rank": a vector x of `dim` as rank coordinates c = x · encode, standing for x' = c ·
/// decode. Source: Eigen Attention (arXiv 2408.05646), section 3; encode and decode need not be
/// transposes of each other. Tensors: "encode" [dim, rank] f32, "decode" [rank, dim] f32. Settings:
/// "dtype" of the coordinates ("bf16", "f32"; default: that of the run); keys only: "space",
/// "after_rotation" (default: queries are projected once a step and meet the coordinates) or
/// "before_rotation" (keys are rebuilt and rotated to their positions at attention time, which
/// costs dim · rank multiply-adds per cached token and step).
std::shared_ptr<const KeyCodec> make_low_rank_key_codec(const CodecSpec& spec,
                                                        const CodecContext& context);
std::shared_ptr<const ValueCodec> make_low_rank_value_codec(const CodecSpec& spec,
                                                            const CodecContext& context);

}  // namespace lowkey
