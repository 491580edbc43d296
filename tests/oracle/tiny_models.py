"""Makes tests/data/parity/*.gguf: tiny random models with their Hugging Face logits inside.

Beside the model each file holds golden.tokens (I32 [n]) and golden.logits (F32 [vocabulary, n],
one row per position). No parameter keeps a default value that could hide a bug: norms are spread
around 1, biases, sinks and router biases are non-zero. Tokens are drawn so that routing is
decisive: at every position and layer the k-th router logit beats the next by `gap`.

`python tiny_models.py DIRECTORY [NAME...]`
"""

import sys

import numpy as np
import torch
from gguf import GGMLQuantizationType as Type
from gguf import dequantize, quantize
from transformers.models.gemma4.modeling_gemma4 import Gemma4TextRouter
from transformers.models.mimo_v2_flash.modeling_mimo_v2_flash import MiMoV2FlashTopkRouter

import blocks
import gemma
import gemma_reference
import huggingface
import mimo
import mimo_reference
import qwen35
import reference
from gguf_file import Writer

TOKENS = 130  # the longest window is 16, so all of 80 tokens and more lie beyond it
LEGACY = (Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1, Type.Q8_0, Type.IQ4_NL, Type.F16, Type.BF16)
SUPER = (Type.Q4_K, Type.Q6_K, Type.Q5_K, Type.Q3_K, Type.IQ4_XS, Type.Q2_K, Type.Q4_K)

LLAMA = {
    "block_count": 4, "context_length": 512, "embedding_length": 84, "feed_forward_length": 136,
    "attention.head_count": 6, "attention.head_count_kv": 2, "attention.key_length": 20,
    "attention.value_length": 20, "rope.dimension_count": 20, "rope.freq_base": 800.0,
    "attention.layer_norm_rms_epsilon": 1e-5,
    "llama3": {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
               "original_max_position_embeddings": 64},
}
LLAMA_TIED = {
    "block_count": 3, "context_length": 512, "embedding_length": 72, "feed_forward_length": 104,
    "attention.head_count": 6, "attention.head_count_kv": 3, "rope.dimension_count": 12,
    "rope.freq_base": 50000.0, "rope.scaling.type": "linear", "rope.scaling.factor": 4.0,
    "attention.layer_norm_rms_epsilon": 1e-6,
}
LLAMA_LEGACY = {
    "block_count": 3, "context_length": 512, "embedding_length": 96, "feed_forward_length": 160,
    "attention.head_count": 6, "attention.head_count_kv": 2, "rope.dimension_count": 16,
    "rope.freq_base": 10000.0, "attention.layer_norm_rms_epsilon": 1e-5,
}
LLAMA_MIXED = {
    "block_count": 3, "context_length": 512, "embedding_length": 256, "feed_forward_length": 512,
    "attention.head_count": 4, "attention.head_count_kv": 2, "rope.dimension_count": 64,
    "rope.freq_base": 100000.0, "attention.layer_norm_rms_epsilon": 1e-5,
}
MIXTRAL = {
    "block_count": 4, "context_length": 512, "embedding_length": 48, "feed_forward_length": 40,
    "attention.head_count": 4, "attention.head_count_kv": 2, "rope.dimension_count": 12,
    "rope.freq_base": 1000000.0, "attention.layer_norm_rms_epsilon": 1e-5,
    "expert_count": 8, "expert_used_count": 2,
}
GPT_OSS = {
    "block_count": 4, "context_length": 512, "embedding_length": 40, "feed_forward_length": 48,
    "expert_feed_forward_length": 48, "attention.head_count": 4, "attention.head_count_kv": 2,
    "attention.key_length": 32, "attention.value_length": 32, "attention.sliding_window": 16,
    "attention.layer_norm_rms_epsilon": 1e-5, "expert_count": 8, "expert_used_count": 4,
    "rope.freq_base": 5000.0, "rope.scaling.type": "yarn", "rope.scaling.factor": 8.0,
    "rope.scaling.original_context_length": 64, "rope.scaling.yarn_beta_fast": 4.0,
    "rope.scaling.yarn_beta_slow": 1.0,
}
GPT_OSS_MXFP4 = {
    **GPT_OSS, "embedding_length": 64, "feed_forward_length": 96, "expert_feed_forward_length": 96,
    "attention.sliding_window": 8, "expert_used_count": 2,
}


def shapes(arch, meta, vocabulary, tied):
    """Yields (tensor name, numpy shape) in file order."""
    if arch in gemma.ARCHITECTURES:
        yield from gemma.shapes(arch, meta, vocabulary)
        return
    if arch.startswith("qwen3"):
        yield from qwen35.shapes(arch, meta, vocabulary, tied)
        return
    if arch == "mimo2":
        yield from mimo.shapes(arch, meta, vocabulary)
        return
    d, layers = meta["embedding_length"], meta["block_count"]
    heads, kv_heads = meta["attention.head_count"], meta["attention.head_count_kv"]
    dims, experts = meta.get("attention.key_length", d // heads), meta.get("expert_count", 0)
    ffn = meta.get("expert_feed_forward_length", meta["feed_forward_length"])
    biased = arch == "gpt-oss"
    yield "token_embd.weight", (vocabulary, d)
    yield "output_norm.weight", (d,)
    if not tied:
        yield "output.weight", (vocabulary, d)
    for n in range(layers):
        blk = f"blk.{n}."
        yield blk + "attn_norm.weight", (d,)
        for name, rows, width in (("attn_q", heads * dims, d), ("attn_k", kv_heads * dims, d),
                                  ("attn_v", kv_heads * dims, d), ("attn_output", d, heads * dims)):
            yield f"{blk}{name}.weight", (rows, width)
            if biased:
                yield f"{blk}{name}.bias", (rows,)
        if arch == "gpt-oss":
            yield blk + "attn_sinks.weight", (heads,)
        yield blk + ("post_attention_norm" if arch == "gpt-oss" else "ffn_norm") + ".weight", (d,)
        if experts:
            yield blk + "ffn_gate_inp.weight", (experts, d)
            if biased:
                yield blk + "ffn_gate_inp.bias", (experts,)
        suffix, lead = ("_exps", (experts,)) if experts else ("", ())
        for name, rows, width in (("ffn_gate", ffn, d), ("ffn_up", ffn, d), ("ffn_down", d, ffn)):
            yield f"{blk}{name}{suffix}.weight", (*lead, rows, width)
            if biased:
                yield f"{blk}{name}{suffix}.bias", (*lead, rows)


def deviation(name, shape, moe, tied):
    """Standard deviation that keeps activations near 1 and makes each part of the model matter."""
    if name == "token_embd.weight":
        return 0.25 if tied else 1.0
    unit = 1 / np.sqrt(shape[-1])
    for part, gain in (("attn_q.", 1.2), ("attn_k.", 1.2), ("attn_output.", 0.6),
                       ("ffn_gate_inp.", 3.0), ("ffn_down", 0.12 if moe else 0.6),
                       ("ffn_gate", 2.5 if moe else 1.2), ("ffn_up", 2.5 if moe else 1.2),
                       ("output.", 2.0)):
        if part in name:
            return gain * unit
    return unit


def random_tensor(rng, name, shape, sigma):
    special = qwen35.random_tensor(rng, name, shape)
    if special is not None:
        return special
    if name.endswith("norm.weight"):
        return rng.normal(1, 0.25, shape)
    if name.endswith("sinks.weight"):
        return rng.normal(0.5, 1.5, shape)
    if name.endswith(".bias"):
        return rng.normal(0, 0.5, shape)
    return rng.normal(0, sigma, shape)


def llama3_divisors(meta):
    """rope_freqs.weight: what each pair's frequency is divided by under "llama3" scaling."""
    scaling, dims = meta["llama3"], meta["rope.dimension_count"]
    turns = (scaling["original_max_position_embeddings"] / (2 * np.pi)
             * meta["rope.freq_base"] ** (-np.arange(0, dims, 2) / dims))
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    smooth = np.clip((turns - low) / (high - low), 0, 1)
    return 1 / ((1 - smooth) / scaling["factor"] + smooth)


def stored_type(name, shape, scheme, index):
    """Type of a matrix: vectors, routers, convolutions and biases stay F32."""
    if (scheme == "f32" or len(shape) == 1 or name.endswith(".bias")
            or "ffn_gate_inp" in name or "ssm_conv1d" in name):
        return Type.F32
    if scheme == "bf16":
        return Type.BF16
    if callable(scheme):
        return scheme(name, shape)
    if scheme == "mxfp4":
        return Type.MXFP4 if "_exps" in name else Type.Q8_0
    return scheme[index % len(scheme)]


def encode(rng, values, type, sigma):
    """Raw bytes of `values`, or random valid blocks where gguf has no quantiser."""
    values = values.astype(np.float32)
    try:
        return quantize(values, type).view(np.uint8)
    except NotImplementedError:
        rows = values.size // values.shape[-1]
        raw = blocks.random_weights(rng, type, rows, values.shape[-1], sigma)
        return raw.reshape(*values.shape[:-1], -1)


def decisive_tokens(rng, model, vocabulary, used, gap, count):
    """Draws tokens one by one, each such that every layer routes it by at least `gap`."""
    routers = [m for m in model.modules() if type(m).__name__.endswith("Router")]
    if not routers:
        return rng.integers(0, vocabulary, count)
    gaps = []

    def record(module, _inputs, output):
        scores = output[0][-1]
        if isinstance(module, MiMoV2FlashTopkRouter):
            scores = scores.sigmoid() + module.e_score_correction_bias
        top = scores.topk(used + 1).values
        if isinstance(module, Gemma4TextRouter):  # which gives probabilities
            top = top.log()
        gaps.append((top[-2] - top[-1]).item())

    hooks = [router.register_forward_hook(record) for router in routers]
    tokens = []
    while len(tokens) < count:
        for candidate in rng.permutation(vocabulary):
            gaps.clear()
            model(torch.tensor([tokens + [int(candidate)]]), use_cache=False)
            if min(gaps) >= gap:
                tokens.append(int(candidate))
                break
        else:
            raise RuntimeError(f"no token routes by {gap} at position {len(tokens)}")
    for hook in hooks:
        hook.remove()
    return np.array(tokens)


@torch.no_grad()
def make(path, arch, meta, seed, vocabulary, tied=False, scheme="f32", gap=0.1, truncate=False,
         images=False, count=TOKENS):
    rng = np.random.default_rng(seed)
    out = Writer(path, arch)
    for key, value in meta.items():
        if key != "llama3" and key not in mimo.OURS:
            out.set(f"{arch}.{key}", value)
    out.set(f"{arch}.vocab_size", vocabulary)
    out.set("tokenizer.ggml.model", "no_vocab")
    values, index = {}, 0
    for name, shape in shapes(arch, meta, vocabulary, tied):
        if arch in gemma.ARCHITECTURES:
            sigma, tensor = gemma.deviation(name, shape), gemma.random_tensor(rng, name, shape)
        elif arch == "mimo2":
            sigma, tensor = mimo.deviation(name, shape), mimo.random_tensor(rng, name, shape)
        else:
            sigma = deviation(name, shape, "expert_count" in meta, tied)
            tensor = random_tensor(rng, name, shape, sigma)
        type = stored_type(name, shape, scheme, index)
        if scheme == "bf16":  # vectors, too
            tensor = dequantize(quantize(tensor.astype(np.float32), Type.BF16), Type.BF16)
        if type == Type.F32:
            values[name] = tensor.astype(np.float32)
            out.array(name, values[name])
        else:
            index += 1
            raw = encode(rng, tensor, type, sigma)
            values[name] = dequantize(raw, type).reshape(shape).astype(np.float32)
            out.blocks(name, raw, type)
    if "llama3" in meta:
        out.array("rope_freqs.weight", llama3_divisors(meta).astype(np.float32))
    if arch == "gemma4":
        out.array("rope_freqs.weight", gemma.factors(meta))
    model = huggingface.load(arch, meta, values.__getitem__, vocabulary, tied, truncate)
    tokens = decisive_tokens(rng, model, vocabulary, meta.get("expert_used_count", 0), gap, count)
    logits = model(torch.from_numpy(tokens)[None], use_cache=False).logits[0].numpy()
    out.array("golden.tokens", tokens.astype(np.int32))
    out.array("golden.logits", logits)
    if images:
        out.array("golden.images", np.array(gemma.IMAGES, np.int32))
        masks = gemma.image_masks(arch, model, tokens)
        out.array("golden.image_logits", model(torch.from_numpy(tokens)[None], use_cache=False,
                                               attention_mask=masks).logits[0].numpy())
    out.close()
    if arch == "mimo2":
        mimo_reference.check(path)
    else:
        (gemma_reference if arch in gemma.ARCHITECTURES else reference).check(path)


MODELS = {
    "llama": dict(arch="llama", meta=LLAMA, seed=11, vocabulary=157),
    "llama_tied": dict(arch="llama", meta=LLAMA_TIED, seed=12, vocabulary=163, tied=True),
    "llama_legacy": dict(arch="llama", meta=LLAMA_LEGACY, seed=13, vocabulary=160, scheme=LEGACY),
    "llama_mixed": dict(arch="llama", meta=LLAMA_MIXED, seed=14, vocabulary=160, scheme=SUPER),
    "mixtral": dict(arch="llama", meta=MIXTRAL, seed=15, vocabulary=161),
    "gpt_oss": dict(arch="gpt-oss", meta=GPT_OSS, seed=16, vocabulary=159),
    "gpt_oss_truncated": dict(arch="gpt-oss", meta=GPT_OSS, seed=16, vocabulary=159, truncate=True),
    "gpt_oss_mxfp4": dict(arch="gpt-oss", meta=GPT_OSS_MXFP4, seed=17, vocabulary=160,
                          scheme="mxfp4", gap=0.2),
    "gemma3": dict(arch="gemma3", meta=gemma.GEMMA3, seed=18, vocabulary=155, images=True),
    "gemma4": dict(arch="gemma4", meta=gemma.GEMMA4, seed=29, vocabulary=157),
    "gemma4_dense": dict(arch="gemma4", meta=gemma.GEMMA4_DENSE, seed=20, vocabulary=158,
                         images=True),
    "gemma4_shared": dict(arch="gemma4", meta=gemma.GEMMA4_SHARED, seed=21, vocabulary=159),
    "gemma4_bf16": dict(arch="gemma4", meta=gemma.GEMMA4_BF16, seed=25, vocabulary=157,
                        scheme="bf16", gap=0.2),
    "gemma4_q4_0": dict(arch="gemma4", meta=gemma.GEMMA4_MIXED, seed=22, vocabulary=160,
                        scheme=gemma.quantised_type("q4_0"), gap=0.2),
    "gemma4_q4_k": dict(arch="gemma4", meta=gemma.GEMMA4_MIXED, seed=23, vocabulary=160,
                        scheme=gemma.quantised_type("q4_k"), gap=0.2),
    "gemma4_shared_q4_k": dict(arch="gemma4", meta=gemma.GEMMA4_SHARED_MIXED, seed=24,
                               vocabulary=160, scheme=gemma.quantised_type("q4_k")),
    "qwen35": dict(arch="qwen35", meta=qwen35.QWEN35, seed=18, vocabulary=158, count=200),
    "qwen35moe": dict(arch="qwen35moe", meta=qwen35.QWEN35MOE, seed=119, vocabulary=162,
                      count=200),
    "qwen35moe_legacy": dict(arch="qwen35moe", meta=qwen35.QWEN35MOE_LEGACY, seed=20,
                             vocabulary=160, scheme=LEGACY, gap=0.2, count=200),
    "qwen3next": dict(arch="qwen3next", meta=qwen35.QWEN3NEXT, seed=21, vocabulary=157, count=200),
    "mimo2": dict(arch="mimo2", meta=mimo.MIMO2, seed=31, vocabulary=157, gap=0.02),
    "mimo2_fused": dict(arch="mimo2", meta=mimo.MIMO2_FUSED, seed=32, vocabulary=155, gap=0.02),
    "mimo2_q4_k": dict(arch="mimo2", meta=mimo.MIMO2_MIXED, seed=33, vocabulary=160,
                       scheme=mimo.stored_type, gap=0.04),
}

if __name__ == "__main__":
    for name in sys.argv[2:] or MODELS:
        make(f"{sys.argv[1]}/{name}.gguf", **MODELS[name])
