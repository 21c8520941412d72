#!/usr/bin/env python3
"""Measures OpenVINO GenAI on a GGUF file; prints JSON. side_by_side.py runs it."""
import peer


class OpenVino:
    """Through the pip package openvino-genai: paged attention, prompts in chunks, an earlier prompt's blocks used again."""

    def __init__(self, a):
        import numpy
        import openvino
        import openvino_genai
        self.numpy, self.openvino, self.genai = numpy, openvino, openvino_genai
        scheduler = openvino_genai.SchedulerConfig()
        scheduler.enable_prefix_caching = True
        scheduler.max_num_batched_tokens = 512
        settings = {"INFERENCE_NUM_THREADS": a.threads}
        if a.cache:
            settings["KV_CACHE_PRECISION"] = getattr(openvino.Type, a.cache)
        self.pipeline = openvino_genai.LLMPipeline(a.gguf, "CPU", scheduler_config=scheduler, **settings)
        self.engine = f"OpenVINO GenAI {openvino_genai.__version__.partition('-')[0]}"
        self.cache = a.cache or "u8"

    def generate(self, ids, count):
        tokens = self.numpy.array([ids], dtype=self.numpy.int64)
        inputs = self.genai.TokenizedInputs(self.openvino.Tensor(tokens),
                                            self.openvino.Tensor(self.numpy.ones_like(tokens)))
        config = self.genai.GenerationConfig(max_new_tokens=count, ignore_eos=True, do_sample=False)
        return self.pipeline.generate(inputs, config)

    def prefill(self, ids):
        return self.generate(ids, 1).perf_metrics.get_ttft().mean / 1e3

    def decode(self, ids, count):
        result = self.generate(ids, count + 1)
        return result.perf_metrics.get_tpot().mean / 1e3, list(result.tokens[0])


if __name__ == "__main__":
    peer.run(OpenVino, __doc__)
