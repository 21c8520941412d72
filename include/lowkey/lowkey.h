#pragma once

// lowkey's public interface: large language models with a compressed KV cache.
//
//   Model        a checkpoint: weights, tokenizer, configuration               model.h
//   Plan         what each KV head of a model remembers; planners make plans   plan.h
//   Statistics   what planners learn about a model from text                   statistics.h
//   Session      a sequence with a cache under a plan: it writes               session.h
//   measure_...  what a plan costs: perplexity, needles                        evaluation.h
//   Error        what is thrown                                                error.h
//
// docs/api.md is the guide. Headers use the standard library and lowkey's own types only.

#include "lowkey/cache.h"
#include "lowkey/error.h"
#include "lowkey/evaluation.h"
#include "lowkey/generation.h"
#include "lowkey/model.h"
#include "lowkey/observe.h"
#include "lowkey/plan.h"
#include "lowkey/runtime.h"
#include "lowkey/session.h"
#include "lowkey/statistics.h"
#include "lowkey/version.h"
