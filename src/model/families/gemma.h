#pragma once

#include "model/family.h"

namespace lowkey {

/// Gemma 1: norms that store w - 1, embeddings scaled by sqrt(hidden_size).
Family gemma_family();
/// Gemma 2: capped scores and logits, norms before and after every block, windows on every other
/// layer.
Family gemma2_family();
/// Gemma 3, text only: queries and keys normalized per head, a rotary base of their own on the
/// layers with windows.
Family gemma3_text_family();
/// The text part of the Gemma 3 that also see images.
Family gemma3_family();

}  // namespace lowkey
