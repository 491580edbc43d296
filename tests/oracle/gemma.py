"""The tiny models of architectures gemma3 and gemma4: metadata, tensors, and their twins.

Metadata holds the GGUF keys without the architecture, as in tiny_models.py. The twin of a model is
Hugging Face's with the same parameters.
"""

import numpy as np
import torch
from gguf import GGMLQuantizationType as Type
from transformers import Gemma3TextConfig, Gemma4TextConfig
from transformers.models.gemma4 import modeling_gemma4
from transformers.models.gemma3 import modeling_gemma3

ARCHITECTURES = ("gemma3", "gemma4")
ROTATED = 0.25  # of the head of a layer that sees everything, in gemma4
IMAGES = ((20, 33), (60, 91))  # positions that see all of themselves in golden.image_logits


def pattern(text):
    return [kind == "s" for kind in text]


GEMMA4_DENSE = {
    "block_count": 6, "context_length": 512, "embedding_length": 72, "feed_forward_length": 56,
    "attention.head_count": 4, "attention.head_count_kv": [2, 2, 1, 2, 2, 1],
    "attention.key_length": 32, "attention.value_length": 32,
    "attention.key_length_swa": 20, "attention.value_length_swa": 20,
    "attention.sliding_window": 16, "attention.sliding_window_pattern": pattern("ssfssf"),
    "attention.layer_norm_rms_epsilon": 1e-5, "rope.freq_base": 5000.0, "rope.freq_base_swa": 300.0,
    "rope.dimension_count": 32, "rope.dimension_count_swa": 20, "final_logit_softcapping": 5.0,
}
# A large epsilon, because norms would hide a wrong scale before them.
GEMMA4 = {
    **GEMMA4_DENSE, "attention.layer_norm_rms_epsilon": 1e-3, "expert_count": 8,
    "expert_used_count": 3, "expert_feed_forward_length": 40,
}
GEMMA4_BF16 = {
    **GEMMA4, "block_count": 3, "attention.head_count_kv": [2, 2, 1], "expert_count": 4,
    "attention.sliding_window_pattern": pattern("ssf"), "expert_used_count": 2,
}
GEMMA4_SHARED = {
    **GEMMA4_DENSE, "attention.layer_norm_rms_epsilon": 1e-3, "block_count": 7,
    "attention.head_count_kv": 2, "feed_forward_length": [40, 40, 40, 40, 80, 80, 80],
    "attention.shared_kv_layers": 3,
    "attention.sliding_window_pattern": pattern("ssfsssf"), "embedding_length_per_layer_input": 24,
}
GEMMA4_MIXED = {
    **GEMMA4, "block_count": 3, "embedding_length": 256, "feed_forward_length": 96,
    "attention.head_count_kv": [2, 2, 1], "attention.key_length": 128,
    "attention.value_length": 128, "attention.key_length_swa": 64,
    "attention.value_length_swa": 64, "attention.sliding_window_pattern": pattern("ssf"),
    "rope.dimension_count": 128, "rope.dimension_count_swa": 64, "expert_count": 4,
    "expert_used_count": 2, "expert_feed_forward_length": 64,
}
GEMMA4_SHARED_MIXED = {
    **GEMMA4_SHARED, "block_count": 4, "embedding_length": 256,
    "feed_forward_length": [96, 96, 192, 192], "attention.shared_kv_layers": 2,
    "attention.sliding_window_pattern": pattern("sfsf"), "attention.key_length": 128,
    "attention.value_length": 128, "attention.key_length_swa": 64,
    "attention.value_length_swa": 64, "rope.dimension_count": 128, "rope.dimension_count_swa": 64,
    "embedding_length_per_layer_input": 64,
}
GEMMA3 = {
    "block_count": 7, "context_length": 512, "embedding_length": 60, "feed_forward_length": 88,
    "attention.head_count": 4, "attention.head_count_kv": 2, "attention.key_length": 20,
    "attention.value_length": 20, "attention.sliding_window": 16,
    "attention.layer_norm_rms_epsilon": 1e-5, "rope.freq_base": 5000.0,
    "rope.freq_base_swa": 300.0, "rope.scaling.type": "linear", "rope.scaling.factor": 8.0,
}


def each(meta, name, default=0):
    """A key's value for each layer."""
    value = meta.get(name, default)
    return value if isinstance(value, list) else [value] * meta["block_count"]


def sliding(meta):
    return meta.get("attention.sliding_window_pattern",
                    [i % 6 < 5 for i in range(meta["block_count"])])


def layer_shapes(arch, meta, n):
    """Yields (name after "blk.N.", numpy shape) of one layer."""
    d, heads = meta["embedding_length"], meta["attention.head_count"]
    near = sliding(meta)[n]
    dims = meta["attention.key_length"]
    if near:
        dims = meta.get("attention.key_length_swa", dims)
    kv = each(meta, "attention.head_count_kv")[n] * dims
    ffn, experts = each(meta, "feed_forward_length")[n], meta.get("expert_count", 0)
    own = n < meta["block_count"] - meta.get("attention.shared_kv_layers", 0)
    alike = arch == "gemma4" and not near and "embedding_length_per_layer_input" not in meta
    yield "attn_norm", (d,)
    yield "attn_q", (heads * dims, d)
    yield "attn_q_norm", (dims,)
    if own or n == meta["block_count"] - 1:  # the last layer carries them to be ignored
        yield "attn_k", (kv, d)
        yield "attn_k_norm", (dims,)
        if not alike:
            yield "attn_v", (kv, d)
    yield "attn_output", (d, heads * dims)
    yield "post_attention_norm", (d,)
    yield "ffn_norm", (d,)
    for name, rows, width in (("gate", ffn, d), ("up", ffn, d), ("down", d, ffn)):
        yield f"ffn_{name}", (rows, width)
    yield "post_ffw_norm", (d,)
    if experts:
        width = meta["expert_feed_forward_length"]
        for name in ("post_ffw_norm_1", "pre_ffw_norm_2", "post_ffw_norm_2"):
            yield name, (d,)
        yield "ffn_gate_inp", (experts, d)
        yield "ffn_gate_inp.scale", (d,)
        yield "ffn_gate_up_exps", (experts, 2 * width, d)
        yield "ffn_down_exps", (experts, d, width)
        yield "ffn_down_exps.scale", (experts,)
    inputs = meta.get("embedding_length_per_layer_input", 0)
    if inputs:
        yield "inp_gate", (inputs, d)
        yield "proj", (d, inputs)
        yield "post_norm", (d,)
    if arch == "gemma4":
        yield "layer_output_scale", (1,)


def shapes(arch, meta, vocabulary):
    """Yields (tensor name, numpy shape) in file order."""
    d, inputs = meta["embedding_length"], meta.get("embedding_length_per_layer_input", 0)
    yield "token_embd.weight", (vocabulary, d)
    yield "output_norm.weight", (d,)
    if inputs:
        yield "per_layer_token_embd.weight", (vocabulary, meta["block_count"] * inputs)
        yield "per_layer_model_proj.weight", (meta["block_count"] * inputs, d)
        yield "per_layer_proj_norm.weight", (inputs,)
    for n in range(meta["block_count"]):
        for name, shape in layer_shapes(arch, meta, n):
            suffix = "" if name.endswith(".scale") else ".weight"
            yield f"blk.{n}.{name}{suffix}", shape


def deviation(name, shape):
    """Standard deviation of a matrix, such that every part of the model matters."""
    unit = 1 / np.sqrt(shape[-1])
    for part, sigma in (("token_embd", 2 * unit), ("ffn_gate_inp", 3.0), ("inp_gate", 2 * unit)):
        if part in name:
            return sigma
    return 1.3 * unit


def random_tensor(rng, name, shape):
    """No parameter keeps a default."""
    if "attn_q_norm" in name or "attn_k_norm" in name:
        return rng.normal(0.6, 0.2, shape)
    if "layer_output_scale" in name:
        return rng.uniform(0.6, 1.4, shape)
    if len(shape) == 1:
        return rng.normal(1, 0.25, shape)
    return rng.normal(0, deviation(name, shape), shape)


def factors(meta):
    """rope_freqs.weight: pairs that do not turn are divided by 1e30."""
    pairs = meta["rope.dimension_count"] // 2
    turning = int(ROTATED * meta["rope.dimension_count"] // 2)
    return np.where(np.arange(pairs) < turning, 1.0, 1e30).astype(np.float32)


def quantised_type(scheme):
    """Type of a matrix as quantisers choose it, which hold rows that are no multiple of 256 in a
    type of blocks of 32."""
    kinds = {"q4_0": {"": Type.Q4_0, "token_embd": Type.Q6_K},
             "q4_k": {"": Type.Q4_K, "token_embd": Type.Q6_K, "attn_v": Type.Q6_K,
                      "ffn_down.": Type.Q6_K, "attn_output": Type.Q5_K}}[scheme]

    def choose(name, shape):
        more = scheme == "q4_k" and "blk.1." in name
        return quantised({**kinds, "": Type.Q5_K} if more else kinds, name, shape)

    return choose


def quantised(kinds, name, shape):
    """The type of a matrix by the last part of its name that `kinds` has."""
    fallback = {Type.Q4_K: Type.Q5_0, Type.Q5_K: Type.Q5_1, Type.Q6_K: Type.Q8_0}
    if len(shape) == 1 or "ffn_gate_inp" in name:
        return Type.F32
    chosen = next((type for part, type in reversed(kinds.items()) if part in name))
    return fallback[chosen] if chosen in fallback and shape[-1] % 256 else chosen


def config(arch, meta, vocabulary):
    layers, near = meta["block_count"], sliding(meta)
    kinds = ["sliding_attention" if kind else "full_attention" for kind in near]
    kv_heads = each(meta, "attention.head_count_kv")
    shape = dict(
        vocab_size=vocabulary, hidden_size=meta["embedding_length"], num_hidden_layers=layers,
        num_attention_heads=meta["attention.head_count"],
        num_key_value_heads=kv_heads[near.index(True)],
        head_dim=meta.get("attention.key_length_swa", meta["attention.key_length"]),
        intermediate_size=each(meta, "feed_forward_length")[0], layer_types=kinds,
        max_position_embeddings=meta["context_length"],
        rms_norm_eps=meta["attention.layer_norm_rms_epsilon"],
        sliding_window=meta["attention.sliding_window"], tie_word_embeddings=True,
        final_logit_softcapping=meta.get("final_logit_softcapping"))
    local = {"rope_type": "default", "rope_theta": meta.get("rope.freq_base_swa", 10000.0)}
    theta = {"rope_theta": meta["rope.freq_base"]}
    if arch == "gemma3":
        full = {**theta, "rope_type": "default"}
        if "rope.scaling.factor" in meta:
            full = {**theta, "rope_type": "linear", "factor": meta["rope.scaling.factor"]}
        return Gemma3TextConfig(**shape, query_pre_attn_scalar=meta["attention.key_length"],
                                rope_parameters={"sliding_attention": local,
                                                 "full_attention": full})
    full = {**theta, "rope_type": "proportional", "partial_rotary_factor": ROTATED}
    experts = meta.get("expert_count", 0)
    inputs = meta.get("embedding_length_per_layer_input", 0)
    return Gemma4TextConfig(
        **shape, global_head_dim=meta["attention.key_length"],
        num_global_key_value_heads=kv_heads[near.index(False)], attention_k_eq_v=inputs == 0,
        rope_parameters={"sliding_attention": local, "full_attention": full},
        hidden_size_per_layer_input=inputs, vocab_size_per_layer_input=vocabulary,
        num_kv_shared_layers=meta.get("attention.shared_kv_layers", 0),
        use_double_wide_mlp=inputs != 0, enable_moe_block=experts != 0, num_experts=experts or None,
        top_k_experts=meta.get("expert_used_count"),
        moe_intermediate_size=meta.get("expert_feed_forward_length"),
        use_bidirectional_attention=None if inputs else "vision")


LAYER = {
    "attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj", "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm", "attn_output": "self_attn.o_proj",
    "post_attention_norm": "post_attention_layernorm", "ffn_norm": "pre_feedforward_layernorm",
    "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
    "post_ffw_norm": "post_feedforward_layernorm",
    "post_ffw_norm_1": "post_feedforward_layernorm_1",
    "pre_ffw_norm_2": "pre_feedforward_layernorm_2",
    "post_ffw_norm_2": "post_feedforward_layernorm_2", "ffn_gate_inp": "router.proj",
    "inp_gate": "per_layer_input_gate", "proj": "per_layer_projection",
    "post_norm": "post_per_layer_input_norm",
}
BARE = {  # whose names in Hugging Face's files have no ".weight"
    "ffn_gate_inp.scale": "router.scale", "ffn_gate_up_exps": "experts.gate_up_proj",
    "ffn_down_exps": "experts.down_proj", "ffn_down_exps.scale": "router.per_expert_scale",
    "layer_output_scale": "layer_scalar",
}
MODEL = {
    "token_embd.weight": "embed_tokens.weight", "output_norm.weight": "norm.weight",
    "per_layer_token_embd.weight": "embed_tokens_per_layer.weight",
    "per_layer_model_proj.weight": "per_layer_model_projection.weight",
    "per_layer_proj_norm.weight": "per_layer_projection_norm.weight",
}


def parameters(arch, meta, get, vocabulary):
    """Yields (Hugging Face's name, values) of every parameter."""
    for name, _ in shapes(arch, meta, vocabulary):
        if name in MODEL:
            theirs = MODEL[name]
        else:
            _, n, short = name.split(".", 2)
            short = short.removesuffix(".weight")
            ignored = int(n) >= meta["block_count"] - meta.get("attention.shared_kv_layers", 0)
            if ignored and short in ("attn_k", "attn_v", "attn_k_norm"):
                continue
            theirs = f"layers.{n}." + (BARE.get(short) or LAYER[short] + ".weight")
        values = get(name)
        if arch == "gemma3" and values.ndim == 1:
            values = values - 1  # which Hugging Face adds again
        yield "model." + theirs, values
    yield "lm_head.weight", get("token_embd.weight")


def image_masks(arch, model, tokens):
    """The attention mask in which the rows of each of IMAGES see all of it."""
    blocks = torch.full((1, len(tokens)), -1)
    for i, (first, end) in enumerate(IMAGES):
        blocks[0, first:end] = i
    module = modeling_gemma4 if arch == "gemma4" else modeling_gemma3
    return module.create_masks_for_vision_model(
        config=model.config, inputs_embeds=model.model.embed_tokens(torch.from_numpy(tokens)[None]),
        attention_mask=None, past_key_values=None,
        position_ids=torch.arange(len(tokens))[None], block_sequence_ids=blocks)
