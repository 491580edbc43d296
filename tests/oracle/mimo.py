"""The tiny models of architecture mimo2: metadata, tensors, and their twins at Hugging Face.

Metadata holds the GGUF keys without the architecture, as in tiny_models.py. Layers that see
everything have half as many key/value heads as those with a window, as Hugging Face expects.
"""

import numpy as np
from gguf import GGMLQuantizationType as Type
from transformers import MiMoV2FlashConfig

from gemma import each, quantised

VALUE_SCALE = 0.707  # where the file does not say

MIMO2 = {
    "block_count": 7, "context_length": 512, "embedding_length": 60, "feed_forward_length": 88,
    "expert_feed_forward_length": 40, "attention.head_count": 8,
    "attention.head_count_kv": [2, 4, 4, 2, 4, 4, 2], "attention.key_length": 20,
    "attention.value_length": 13, "attention.value_scale": 0.6, "attention.sliding_window": 16,
    "attention.sliding_window_pattern": [0, 1, 1, 0, 1, 1, 0],
    "attention.layer_norm_rms_epsilon": 1e-5, "rope.dimension_count": 6, "rope.freq_base": 5000.0,
    "rope.freq_base_swa": 300.0, "expert_count": 8, "expert_used_count": 3,
    "expert_gating_func": 2, "expert_weights_scale": 1.5,
}
# The rows of q, k and v in one tensor, blocks behind the last layer, two dense layers, a scaled
# rope of layers that see everything, and no key for the scale of values.
MIMO2_FUSED = {
    **MIMO2, "block_count": 7, "nextn_predict_layers": 2, "embedding_length": 48,
    "attention.head_count": 4, "attention.head_count_kv": [1, 2, 2, 1, 2, 2, 2],
    "attention.sliding_window_pattern": [False, True, True, False, True, True, True],
    "attention.key_length": 36, "attention.value_length": 24, "rope.dimension_count": 12,
    "rope.scaling.type": "linear", "rope.scaling.factor": 4.0,
    "expert_feed_forward_length": [0, 0, 40, 40, 40, 0, 0], "fused": True, "dense": 2,
}
del MIMO2_FUSED["attention.value_scale"], MIMO2_FUSED["expert_weights_scale"]
MIMO2_MIXED = {
    **MIMO2, "block_count": 4, "embedding_length": 256, "feed_forward_length": 256,
    "expert_feed_forward_length": 256, "attention.head_count_kv": [2, 4, 4, 2],
    "attention.sliding_window_pattern": [0, 1, 1, 0], "attention.key_length": 48,
    "attention.value_length": 32, "rope.dimension_count": 16, "expert_count": 4,
    "expert_used_count": 2,
}
OURS = ("fused", "dense")  # no keys: how the file is made


def layers(meta):
    """Layers, without the blocks behind them."""
    return meta["block_count"] - meta.get("nextn_predict_layers", 0)


def layer_shapes(meta, n):
    """Yields (name after "blk.N.", numpy shape) of one block."""
    d, heads = meta["embedding_length"], meta["attention.head_count"]
    kv, near = meta["attention.head_count_kv"][n], meta["attention.sliding_window_pattern"][n]
    keys, values = meta["attention.key_length"], meta["attention.value_length"]
    experts, behind = meta["expert_count"], n >= layers(meta)
    if behind:
        yield "nextn.enorm.weight", (d,)
        yield "nextn.hnorm.weight", (d,)
        yield "nextn.eh_proj.weight", (d, 2 * d)
    yield "attn_norm.weight", (d,)
    if "fused" in meta:
        yield "attn_qkv.weight", ((heads + kv) * keys + kv * values, d)
    else:
        yield "attn_q.weight", (heads * keys, d)
        yield "attn_k.weight", (kv * keys, d)
        yield "attn_v.weight", (kv * values, d)
    yield "attn_output.weight", (d, heads * values)
    if near:
        yield "attn_sinks.weight", (heads,)
    yield "ffn_norm.weight", (d,)
    dense = behind or n < meta.get("dense", 1)
    width = each(meta, "feed_forward_length" if dense else "expert_feed_forward_length")[n]
    lead, suffix = ((), "") if dense else ((experts,), "_exps")
    if not dense:
        yield "ffn_gate_inp.weight", (experts, d)
        yield "exp_probs_b.bias", (experts,)
    for name, rows, columns in (("gate", width, d), ("up", width, d), ("down", d, width)):
        yield f"ffn_{name}{suffix}.weight", (*lead, rows, columns)
    if behind:
        yield "layer_output_norm.weight", (d,)


def shapes(arch, meta, vocabulary):
    """Yields (tensor name, numpy shape) in file order."""
    d = meta["embedding_length"]
    yield "token_embd.weight", (vocabulary, d)
    yield "output_norm.weight", (d,)
    yield "output.weight", (vocabulary, d)
    for n in range(meta["block_count"]):
        for name, shape in layer_shapes(meta, n):
            yield f"blk.{n}.{name}", shape


def deviation(name, shape):
    """Standard deviation of a matrix, such that every part of the model matters."""
    if name == "token_embd.weight":
        return 1.0
    gain = 2.0 if name == "output.weight" or "ffn_gate_inp" in name else 1.3
    return gain / np.sqrt(shape[-1])


def random_tensor(rng, name, shape):
    """No parameter keeps a default."""
    if name.endswith("norm.weight"):
        return rng.normal(1, 0.25, shape)
    if name.endswith("sinks.weight"):
        return rng.normal(0.5, 1.5, shape)
    if name.endswith("exp_probs_b.bias"):
        return rng.normal(0, 0.2, shape)
    return rng.normal(0, deviation(name, shape), shape)


def stored_type(name, shape):
    """Type of a matrix as quantisers choose it."""
    kinds = {"": Type.Q4_K, "attn_v": Type.Q6_K, "ffn_down": Type.Q6_K, "token_embd": Type.Q6_K}
    if name == "output.weight":
        return Type.Q6_K
    if "blk.1." in name:
        del kinds["ffn_down"]
    return quantised(kinds, name, shape)


def config(arch, meta, vocabulary):
    near = meta["attention.sliding_window_pattern"][:layers(meta)]
    kv = meta["attention.head_count_kv"]
    assert all(kv[n] == kv[0] * (2 if near[n] else 1) for n in range(layers(meta)))
    turning = {"partial_rotary_factor": 0.334}
    full = {**turning, "rope_type": "default", "rope_theta": meta["rope.freq_base"]}
    if "rope.scaling.factor" in meta:
        full.update(rope_type="linear", factor=meta["rope.scaling.factor"])
    assert int(meta["attention.key_length"] * 0.334) == meta["rope.dimension_count"]
    return MiMoV2FlashConfig(
        vocab_size=vocabulary, hidden_size=meta["embedding_length"],
        intermediate_size=meta["feed_forward_length"], num_hidden_layers=layers(meta),
        num_attention_heads=meta["attention.head_count"], num_key_value_heads=kv[0],
        head_dim=meta["attention.key_length"], v_head_dim=meta["attention.value_length"],
        max_position_embeddings=meta["context_length"],
        rms_norm_eps=meta["attention.layer_norm_rms_epsilon"],
        sliding_window=meta["attention.sliding_window"],
        layer_types=["sliding_attention" if kind else "full_attention" for kind in near],
        mlp_layer_types=["dense" if n < meta.get("dense", 1) else "sparse"
                         for n in range(layers(meta))],
        attention_value_scale=meta.get("attention.value_scale", VALUE_SCALE),
        rope_parameters={"full_attention": full,
                         "sliding_attention": {**turning, "rope_type": "default",
                                               "rope_theta": meta["rope.freq_base_swa"]}},
        moe_intermediate_size=max(each(meta, "expert_feed_forward_length")),
        n_routed_experts=meta["expert_count"], num_experts_per_tok=meta["expert_used_count"],
        routed_scaling_factor=meta.get("expert_weights_scale"), n_group=1, topk_group=1,
        norm_topk_prob=True)


BARE = {  # whose names in Hugging Face's model have no ".weight"
    "attn_sinks.weight": "self_attn.sinks", "exp_probs_b.bias": "mlp.gate.e_score_correction_bias",
    "ffn_down_exps.weight": "mlp.experts.down_proj",
}
LAYER = {
    "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj", "ffn_gate_inp": "mlp.gate", "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}


def split(meta, n, rows):
    """The rows of q, k and v among those of attn_qkv."""
    kv, keys = meta["attention.head_count_kv"][n], meta["attention.key_length"]
    queries = meta["attention.head_count"] * keys
    return np.split(rows, [queries, queries + kv * keys])


def parameters(arch, meta, get, vocabulary):
    """Yields (Hugging Face's name, values) of every parameter."""
    yield "model.embed_tokens.weight", get("token_embd.weight")
    yield "model.norm.weight", get("output_norm.weight")
    yield "lm_head.weight", get("output.weight")
    for n in range(layers(meta)):
        blk, theirs = f"blk.{n}.", f"model.layers.{n}."
        for name, _ in layer_shapes(meta, n):
            short = name.removesuffix(".weight")
            if name in BARE:
                yield theirs + BARE[name], get(blk + name)
            elif name == "attn_qkv.weight":
                for part, rows in zip("qkv", split(meta, n, get(blk + name))):
                    yield f"{theirs}self_attn.{part}_proj.weight", rows
            elif short == "ffn_gate_exps":
                both = [get(blk + "ffn_gate_exps.weight"), get(blk + "ffn_up_exps.weight")]
                yield theirs + "mlp.experts.gate_up_proj", np.concatenate(both, axis=1)
            elif short != "ffn_up_exps":
                yield f"{theirs}{LAYER[short]}.weight", get(blk + name)
