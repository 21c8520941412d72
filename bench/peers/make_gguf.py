#!/usr/bin/env python3
"""Writes a Qwen2 checkpoint as a GGUF file, so that other engines run the very weights that lowkey does.

    bench/peers/make_gguf.py MODEL MODEL-bf16.gguf
    bench/peers/make_gguf.py MODEL MODEL-f16.gguf --type f16

MODEL is a Hugging Face directory with safetensors and tokenizer.json. Needs `pip install gguf`; says so and ends without
an error where it is not installed. Norms and biases are written in f32. Tensors go to the file one by one."""
import argparse
import json
import os
import pathlib
import sys

TYPES = ["bf16", "f16", "f32", "q8_0", "q4_0"]


def fail(what):
    sys.exit(f"make_gguf.py: {what}")


def read_json(path):
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        return fail(f"cannot read {path}: {error}")


def read_tensors(folder):
    """All tensors of the checkpoint by name, mapped, not read."""
    from gguf.utility import SafetensorsLocal
    tensors = {}
    for path in sorted(folder.glob("*.safetensors")):
        tensors.update(SafetensorsLocal(path).tensors)
    return tensors or fail(f"no *.safetensors in {folder}")


def as_f32(tensor):
    """A mapped tensor's numbers as f32."""
    import numpy as np
    raw = tensor.mmap_bytes()
    if tensor.dtype == "BF16":
        numbers = (raw.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    elif tensor.dtype in ("F16", "F32"):
        numbers = raw.view({"F16": np.float16, "F32": np.float32}[tensor.dtype]).astype(np.float32)
    else:
        fail(f"tensors of {tensor.dtype} are not supported")
    return numbers.reshape(tensor.shape)


def stored(gguf, tensor, kind):
    """A tensor's numbers as the file holds them; bytes where numpy has no such type."""
    if tensor.dtype == kind.name:
        return tensor.mmap_bytes()  # nothing to convert
    return gguf.quantize(as_f32(tensor), kind)


def stored_type(gguf, tensor, wanted):
    """Matrices as wanted; norms and biases, which are small, in f32."""
    return wanted if len(tensor.shape) > 1 else gguf.GGMLQuantizationType.F32


def add_settings(gguf, writer, config):
    heads = config["num_attention_heads"]
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(config.get("num_key_value_heads", heads))
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config.get("rope_theta", 10000.0))
    writer.add_vocab_size(config["vocab_size"])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)


def add_tokenizer(gguf, writer, folder, vocab_size):
    tokenizer = read_json(folder / "tokenizer.json")
    # Ids that no token has, because the embedding is padded.
    tokens = [f"[PAD{i}]" for i in range(vocab_size)]
    types = [gguf.TokenType.UNUSED] * vocab_size
    for token, i in tokenizer["model"]["vocab"].items():
        tokens[i], types[i] = token, gguf.TokenType.NORMAL
    for token in tokenizer.get("added_tokens", []):
        special = gguf.TokenType.CONTROL if token["special"] else gguf.TokenType.USER_DEFINED
        tokens[token["id"]], types[token["id"]] = token["content"], special
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    gguf.SpecialVocab(folder, load_merges=True, n_vocab=vocab_size).add_to_gguf(writer, quiet=True)


def write(gguf, writer, tensors, wanted):
    """Header, then one tensor after another, so that only one is in memory."""
    import numpy as np
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.QWEN2, len(tensors))
    for name, tensor in tensors.items():
        to = names.get_name(name, (".weight", ".bias")) or fail(f"no place in a GGUF file for tensor {name}")
        kind = stored_type(gguf, tensor, wanted)
        nbytes = int(np.prod(gguf.quant_shape_to_byte_shape(tensor.shape, kind)))
        writer.add_tensor_info(to, tensor.shape, np.dtype(np.float32), nbytes, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for name, tensor in tensors.items():
        numbers = stored(gguf, tensor, stored_type(gguf, tensor, wanted))
        if not np.isfinite(numbers).all():
            fail(f"{name} has numbers beyond the range of {wanted.name}")
        writer.write_tensor_data(numbers)
    writer.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path, help="Hugging Face directory")
    parser.add_argument("out", type=pathlib.Path, help="the GGUF file to write")
    parser.add_argument("--type", choices=TYPES, default="bf16", help="of the matrices (default: %(default)s)")
    a = parser.parse_args()
    try:
        import gguf
    except ImportError as error:
        print(f"make_gguf.py: skipped: the package gguf is not here ({error}); pip install gguf")
        return
    config = read_json(a.model / "config.json")
    if config.get("model_type") != "qwen2":
        fail(f"{a.model} is a {config.get('model_type')}; only qwen2 is known here")
    tensors = read_tensors(a.model)

    part = a.out.with_name(a.out.name + ".part")
    try:
        writer = gguf.GGUFWriter(part, "qwen2")
        writer.add_name(a.model.resolve().name)
        writer.add_file_type(gguf.LlamaFileType["ALL_F32" if a.type == "f32" else f"MOSTLY_{a.type.upper()}"])
        add_settings(gguf, writer, config)
        add_tokenizer(gguf, writer, a.model, config["vocab_size"])
        write(gguf, writer, tensors, gguf.GGMLQuantizationType[a.type.upper()])
        os.replace(part, a.out)
    finally:
        part.unlink(missing_ok=True)
    print(f"{a.out}: {a.out.stat().st_size / 1e9:.2f} GB", file=sys.stderr)


if __name__ == "__main__":
    main()
