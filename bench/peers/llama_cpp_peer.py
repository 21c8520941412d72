#!/usr/bin/env python3
"""Measures llama.cpp on a GGUF file; prints JSON. side_by_side.py runs it."""
import time

import peer

# Of ggml.h; the package names only some.
CACHE_TYPES = {"f32": 0, "f16": 1, "q4_0": 2, "q8_0": 8, "bf16": 30}


class LlamaCpp:
    """Through the pip package llama-cpp-python, with flash attention. Tokens are chosen by numpy's argmax."""

    def __init__(self, a):
        import llama_cpp
        import numpy
        self.llama_cpp, self.numpy = llama_cpp, numpy
        self.cache = a.cache or "f16"
        if self.cache not in CACHE_TYPES:
            raise ValueError(f"no such type of cache: {self.cache}; there are {', '.join(CACHE_TYPES)}")
        kind = CACHE_TYPES[self.cache]
        self.llama = llama_cpp.Llama(model_path=a.gguf, n_ctx=a.context, n_batch=512, n_threads=a.threads,
                                     n_threads_batch=a.threads, flash_attn=True, type_k=kind, type_v=kind, verbose=False)
        self.engine = f"llama.cpp (llama-cpp-python {llama_cpp.__version__})"
        self.ids = []  # that the cache holds

    def append(self, ids):
        """The likeliest token after those of the cache and `ids`."""
        self.llama.eval(ids)
        self.ids += ids
        logits = self.llama_cpp.llama_get_logits_ith(self.llama.ctx, -1)
        return int(self.numpy.ctypeslib.as_array(logits, shape=(self.llama.n_vocab(),)).argmax())

    def keep(self, count):
        """Forgets all but the first tokens."""
        self.ids = self.ids[:count]
        self.llama.n_tokens = count

    def prefill(self, ids):
        self.keep(0)
        start = time.perf_counter()
        self.append(ids)
        return time.perf_counter() - start

    def decode(self, ids, count):
        same = 0
        while same < min(len(self.ids), len(ids) - 1) and self.ids[same] == ids[same]:
            same += 1
        self.keep(same)
        out = [self.append(ids[same:])]
        start = time.perf_counter()
        for _ in range(count):
            out.append(self.append(out[-1:]))
        return (time.perf_counter() - start) / count, out


if __name__ == "__main__":
    peer.run(LlamaCpp, __doc__)
