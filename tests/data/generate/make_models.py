#!/usr/bin/env python3
"""Tiny random checkpoints, and what the reference implementation (transformers, float32) computes from them.

usage: make_models.py OUT [CASE ...]      (OUT is tests/data/models)

Writes OUT/<case>/ with config.json, model.safetensors and golden.safetensors, as README.md beside
this file describes, and the case's entry of OUT/tolerances.json. Every entry of a case's `without`
must move the logits, or the case tests nothing.
"""

import json
import sys
import zlib
from pathlib import Path

import torch
import transformers as T
from safetensors.torch import save_file

N = 36  # tokens of the prompt
DECODED = 5  # tokens of the prompt before decode_logits begins
NEW = 16  # greedy tokens
PROMPTS = 48  # prompts tried: the one whose closest greedy decision is clearest is kept

BASE = dict(vocab_size=224, hidden_size=64, intermediate_size=88, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, head_dim=16, max_position_embeddings=512, rope_theta=10000.0, rms_norm_eps=1e-6,
            bos_token_id=1, eos_token_id=2, pad_token_id=0)
GEMMA3 = dict(num_hidden_layers=3, sliding_window=11, query_pre_attn_scalar=24, hidden_activation="gelu_pytorch_tanh",
              rope_theta=1000000.0, rope_local_base_freq=10000.0, sliding_window_pattern=3, head_dim=32)
NEWER_GEMMA3 = {k: v for k, v in GEMMA3.items() if not k.startswith("rope") and k != "sliding_window_pattern"} | dict(
    layer_types=["full_attention", "sliding_attention", "sliding_attention"],
    rope_parameters={"full_attention": {"rope_type": "linear", "factor": 4.0, "rope_theta": 1000000.0},
                     "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0}})
SHORT, LONG = [1.0, 1.3, 1.7, 2.4], [1.2, 2.5, 6.0, 11.0]

# name: model_type, changes to BASE, {feature: changes without it}, how it is stored
CASES = {
    "gemma": ("gemma", dict(hidden_act="gelu", num_key_value_heads=1), {"rope_theta": dict(rope_theta=500.0)}, {}),
    "gemma3": ("gemma3_text", GEMMA3, {
        "window": dict(sliding_window=512), "pattern": dict(sliding_window_pattern=2),
        "local_rope": dict(rope_local_base_freq=1000000.0), "query_pre_attn_scalar": dict(query_pre_attn_scalar=32),
    }, {}),
    "gemma3-new-config": ("gemma3_text", NEWER_GEMMA3, {
        "layer_types": dict(layer_types=["sliding_attention"] * 3),
        "linear": dict(rope_parameters={"full_attention": {"rope_type": "default", "rope_theta": 1000000.0},
                                        "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0}}),
    }, dict(new=True)),
    "gemma3-with-vision": ("gemma3_text", GEMMA3 | dict(num_hidden_layers=2), {}, dict(inside="gemma3")),
    "llama-dynamic-rope": ("llama", dict(max_position_embeddings=24, rope_scaling={"type": "dynamic", "factor": 2.0}), {
        "dynamic": dict(rope_scaling=None),
    }, dict(cached=True)),
    "phi3-longrope": ("phi3", dict(
        original_max_position_embeddings=20, max_position_embeddings=80, partial_rotary_factor=0.5, sliding_window=28,
        rope_scaling={"type": "longrope", "short_factor": SHORT, "long_factor": LONG}), {
        "long_factor": dict(rope_scaling={"type": "longrope", "short_factor": SHORT, "long_factor": SHORT}),
        "attention_factor": dict(rope_scaling={"type": "longrope", "short_factor": SHORT, "long_factor": LONG, "attention_factor": 1.0}),
        "window": dict(sliding_window=None),
    }, dict(cached=True)),
    "qwen2-window": ("qwen2", dict(num_hidden_layers=3, use_sliding_window=True, sliding_window=9, max_window_layers=1), {
        "window": dict(use_sliding_window=False), "max_window_layers": dict(max_window_layers=2),
    }, {}),
}


def build(model_type, config):
    c = T.AutoConfig.for_model(model_type, **json.loads(json.dumps(config)))
    c._attn_implementation = "eager"
    return T.AutoModelForCausalLM.from_config(c, attn_implementation="eager").float().eval()


@torch.no_grad()
def randomize(m):
    """Larger than an initializer's weights, queries and keys more so: attention is sharp."""
    for name, p in m.named_parameters():
        if p.ndim >= 2:
            p.copy_(torch.randn_like(p) * 0.85 / p.shape[-1] ** 0.5)
            if any(s in name for s in ("q_proj", "k_proj", "qkv_proj")):
                p *= 2
        else:
            offset = 0.0 if "gemma" in m.config.model_type or name.endswith("bias") else 1.0
            p.copy_(offset + 0.2 * torch.randn_like(p))


def fresh(m):
    """Rotary tables remember the longest sequence that they met: each run starts without."""
    again = build(m.config.model_type, m.lowkey_config)
    again.load_state_dict(m.state_dict())
    again.lowkey_config = m.lowkey_config
    return again


@torch.no_grad()
def decode(m, ids, first, steps=None):
    """Logits after token first - 1 and each one decoded behind it; greedy tokens once ids are used up."""
    m = fresh(m)
    out = m(ids[:, :first], use_cache=True)
    logits, cache, tokens = [out.logits[:, -1]], out.past_key_values, []
    for t in range(steps or ids.shape[1] - first):
        token = logits[-1].argmax(-1, keepdim=True) if steps else ids[:, first + t: first + t + 1]
        tokens.append(token)
        logits.append(m(token, past_key_values=cache, use_cache=True).logits[:, -1])
    return torch.stack(logits, 1), torch.cat(tokens, 1) if tokens else None


@torch.no_grad()
def record(m, ids):
    """One prefill and everything inside it."""
    m, kept = fresh(m), {}
    module = sys.modules[type(m).__module__]
    rotate, attend = module.apply_rotary_pos_emb, module.eager_attention_forward

    def put(key, value):
        kept[f"{key}.{sum(k.startswith(key + '.') for k in kept)}"] = value.detach()[0].clone()

    def rotary(q, k, *args, **kwargs):
        rotated = rotate(q, k, *args, **kwargs)
        for key, value in zip(("q", "k", "q_rot", "k_rot"), (q, k, *rotated)):
            put(key, value)
        return rotated

    def eager(owner, q, k, v, *args, **kwargs):
        put("v", v)
        out = attend(owner, q, k, v, *args, **kwargs)
        put("attn", out[0].transpose(1, 2))
        return out

    for layer in m.model.layers:
        layer.register_forward_pre_hook(lambda _, a, k: put("hidden", a[0] if a else k["hidden_states"]), with_kwargs=True)
    m.model.layers[-1].register_forward_hook(lambda _, a, o: put("hidden", o[0] if isinstance(o, tuple) else o))
    module.apply_rotary_pos_emb, module.eager_attention_forward = rotary, eager
    try:
        kept["logits"] = m(ids, use_cache=False).logits[0]
    finally:
        module.apply_rotary_pos_emb, module.eager_attention_forward = rotate, attend
    return kept


def choose_prompt(m, vocab):
    ids = torch.randint(3, vocab, (PROMPTS, N))
    logits, tokens = decode(m, ids, N, NEW)
    top = logits[:, :NEW].topk(2, -1).values
    margin = (top[..., 0] - top[..., 1]).min(1).values
    best = int(margin.argmax())
    assert margin[best] > 0.03, margin[best]
    return ids[best: best + 1]


def store(m, model_type, config, how, path):
    path.mkdir(parents=True, exist_ok=True)
    m.save_pretrained(path)
    (path / "generation_config.json").unlink(missing_ok=True)
    file = path / "config.json"
    if not how.get("new"):  # as published checkpoints say it
        saved = json.loads(file.read_text())
        published = {"architectures": saved["architectures"], "model_type": model_type, "torch_dtype": "float32", **config}
        file.write_text(json.dumps(published, indent=2) + "\n")
    if "inside" in how:
        text = json.loads(file.read_text())
        file.write_text(json.dumps({"architectures": ["Gemma3ForConditionalGeneration"], "model_type": how["inside"], "text_config": text}, indent=2) + "\n")
        save_file({"language_model." + k: v for k, v in m.state_dict().items() if k != "lm_head.weight"},
                  path / "model.safetensors", metadata={"format": "pt"})


@torch.no_grad()
def make(name, out):
    model_type, changes, without, how = CASES[name]
    torch.manual_seed(zlib.crc32(name.encode()))
    config = {**BASE, **changes}
    if "rope_parameters" in config:
        config.pop("rope_theta")
    m = build(model_type, config)
    m.lowkey_config = config
    randomize(m)
    ids = choose_prompt(m, config["vocab_size"])
    golden = record(m, ids)
    greedy_logits, greedy = decode(m, ids, N, NEW)
    golden |= {"input_ids": ids[0], "greedy": greedy[0], "greedy_logits": greedy_logits[0, :NEW]}
    if how.get("cached"):
        golden["decode_logits"] = torch.cat([record(m, ids[:, :DECODED])["logits"], decode(m, ids, DECODED)[0][0, 1:]])
    store(m, model_type, config, how, out / name)
    save_file({k: v.contiguous() for k, v in golden.items()}, out / name / "golden.safetensors")

    low = (fresh(m).to(torch.bfloat16)(ids, use_cache=False).logits[0].float() - golden["logits"]).abs()
    moved = {}
    for feature, change in without.items():
        other = build(model_type, {**config, **change})
        other.load_state_dict(m.state_dict())
        moved[feature] = float((other(ids, use_cache=False).logits[0] - golden["logits"]).abs().max())
        assert moved[feature] > 1e-3, (name, feature, moved)
    file = out / "tolerances.json"
    entries = json.loads(file.read_text()) if file.exists() else {}
    entries[name] = {"bf16_vs_f32": {"max": float(f"{low.max():.3g}"), "mean": float(f"{low.mean():.3g}")},
                     "logits_move_without": {k: float(f"{v:.2g}") for k, v in moved.items()}}
    file.write_text(json.dumps(entries, indent=1) + "\n")
    print(name, entries[name], flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    T.utils.logging.set_verbosity_error()
    for case in sys.argv[2:] or CASES:
        make(case, Path(sys.argv[1]))
    print(f"transformers {T.__version__}, torch {torch.__version__}")
