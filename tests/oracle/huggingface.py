"""Loads the tensors of a GGUF file into the matching Hugging Face model (F32, eager kernels)."""

import numpy as np
import torch
from transformers import AutoModelForCausalLM, GptOssConfig, LlamaConfig, MixtralConfig

import gemma
import mimo
import qwen35

torch.set_num_threads(1)
torch.manual_seed(0)


def half_split(weight, heads):
    """Undoes the interleaving of rotary pairs that GGUF files of "llama" carry in Q and K rows."""
    dims = weight.shape[0] // heads
    pairs = weight.reshape(heads, dims // 2, 2, -1)
    return pairs.swapaxes(1, 2).reshape(weight.shape)


def common(get, layers, tied):
    """Parameters that every family names alike; `get(name)` gives a GGUF tensor."""
    yield "model.embed_tokens.weight", get("token_embd.weight")
    yield "model.norm.weight", get("output_norm.weight")
    yield "lm_head.weight", get("token_embd.weight" if tied else "output.weight")
    for n in range(layers):
        yield f"model.layers.{n}.input_layernorm.weight", get(f"blk.{n}.attn_norm.weight")


def llama_layers(get, layers, heads, kv_heads):
    for n in range(layers):
        hf, blk = f"model.layers.{n}.", f"blk.{n}."
        yield hf + "post_attention_layernorm.weight", get(blk + "ffn_norm.weight")
        yield hf + "self_attn.q_proj.weight", half_split(get(blk + "attn_q.weight"), heads)
        yield hf + "self_attn.k_proj.weight", half_split(get(blk + "attn_k.weight"), kv_heads)
        yield hf + "self_attn.v_proj.weight", get(blk + "attn_v.weight")
        yield hf + "self_attn.o_proj.weight", get(blk + "attn_output.weight")


def dense_layers(get, layers):
    for n in range(layers):
        for name in ("gate", "up", "down"):
            yield f"model.layers.{n}.mlp.{name}_proj.weight", get(f"blk.{n}.ffn_{name}.weight")


def mixtral_layers(get, layers):
    for n in range(layers):
        hf, blk = f"model.layers.{n}.mlp.", f"blk.{n}."
        yield hf + "gate.weight", get(blk + "ffn_gate_inp.weight")
        gate, up = get(blk + "ffn_gate_exps.weight"), get(blk + "ffn_up_exps.weight")
        yield hf + "experts.gate_up_proj", np.concatenate([gate, up], axis=1)
        yield hf + "experts.down_proj", get(blk + "ffn_down_exps.weight")


def gpt_oss_layers(get, layers):
    def interleave(gate, up):  # along the output axis, the second of [experts, out, ...]
        return np.stack([gate, up], axis=2).reshape(gate.shape[0], -1, *gate.shape[2:])

    for n in range(layers):
        hf, blk = f"model.layers.{n}.", f"blk.{n}."
        yield hf + "post_attention_layernorm.weight", get(blk + "post_attention_norm.weight")
        yield hf + "self_attn.sinks", get(blk + "attn_sinks.weight")
        for theirs, ours in (("self_attn.q_proj", "attn_q"), ("self_attn.k_proj", "attn_k"),
                             ("self_attn.v_proj", "attn_v"), ("self_attn.o_proj", "attn_output"),
                             ("mlp.router", "ffn_gate_inp")):
            yield f"{hf}{theirs}.weight", get(f"{blk}{ours}.weight")
            yield f"{hf}{theirs}.bias", get(f"{blk}{ours}.bias")
        fused = interleave(get(blk + "ffn_gate_exps.weight"), get(blk + "ffn_up_exps.weight"))
        yield hf + "mlp.experts.gate_up_proj", fused.swapaxes(1, 2)
        down = get(blk + "ffn_down_exps.weight")
        yield hf + "mlp.experts.down_proj", down.swapaxes(1, 2)
        fused = interleave(get(blk + "ffn_gate_exps.bias"), get(blk + "ffn_up_exps.bias"))
        yield hf + "mlp.experts.gate_up_proj_bias", fused
        yield hf + "mlp.experts.down_proj_bias", get(blk + "ffn_down_exps.bias")


def rope_parameters(meta, yarn_truncate):
    """The Hugging Face form of the rotary keys; "llama3" is no GGUF key, see tiny_models.py."""
    theta = {"rope_theta": meta.get("rope.freq_base", 10000.0)}
    kind = meta.get("rope.scaling.type", "default")
    if "llama3" in meta:
        return {**theta, "rope_type": "llama3", **meta["llama3"]}
    if kind == "linear":
        return {**theta, "rope_type": "linear", "factor": meta["rope.scaling.factor"]}
    if kind == "yarn":
        return {**theta, "rope_type": "yarn", "factor": meta["rope.scaling.factor"],
                "original_max_position_embeddings": meta["rope.scaling.original_context_length"],
                "beta_fast": meta["rope.scaling.yarn_beta_fast"],
                "beta_slow": meta["rope.scaling.yarn_beta_slow"], "truncate": yarn_truncate}
    return {**theta, "rope_type": "default"}


def load(arch, meta, get, vocabulary, tied, yarn_truncate=False):
    """Builds the model. `meta` holds the GGUF keys without their "arch." prefix."""
    if arch in gemma.ARCHITECTURES:
        return build(gemma.config(arch, meta, vocabulary),
                     [gemma.parameters(arch, meta, get, vocabulary)])
    if arch.startswith("qwen3"):
        return build(qwen35.config(arch, meta, vocabulary, tied),
                     [qwen35.parameters(arch, meta, get, tied)])
    if arch == "mimo2":
        return build(mimo.config(arch, meta, vocabulary),
                     [mimo.parameters(arch, meta, get, vocabulary)])
    layers, heads = meta["block_count"], meta["attention.head_count"]
    kv_heads, experts = meta["attention.head_count_kv"], meta.get("expert_count", 0)
    hidden = meta["embedding_length"]
    shape = dict(
        vocab_size=vocabulary, hidden_size=hidden, num_hidden_layers=layers,
        num_attention_heads=heads, num_key_value_heads=kv_heads,
        head_dim=meta.get("attention.key_length", hidden // heads),
        intermediate_size=meta.get("expert_feed_forward_length", meta["feed_forward_length"]),
        max_position_embeddings=meta["context_length"],
        rms_norm_eps=meta["attention.layer_norm_rms_epsilon"], tie_word_embeddings=tied,
        rope_parameters=rope_parameters(meta, yarn_truncate))
    moe = dict(num_local_experts=experts, num_experts_per_tok=meta.get("expert_used_count", 0))
    if arch == "gpt-oss":
        config = GptOssConfig(**shape, **moe, sliding_window=meta["attention.sliding_window"])
        parameters = [gpt_oss_layers(get, layers)]
    elif experts:
        config = MixtralConfig(**shape, **moe, sliding_window=None)
        parameters = [llama_layers(get, layers, heads, kv_heads), mixtral_layers(get, layers)]
    else:
        config = LlamaConfig(**shape)
        parameters = [llama_layers(get, layers, heads, kv_heads), dense_layers(get, layers)]
    assert config.rope_parameters.get("truncate", yarn_truncate) == yarn_truncate
    return build(config, [common(get, layers, tied), *parameters])


def build(config, groups):
    """The model of `config` with exactly the parameters that the groups yield."""
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32,
                                             attn_implementation="eager",
                                             experts_implementation="eager")
    state = {}
    for group in groups:
        for name, values in group:
            state[name] = torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
    model.load_state_dict(state, strict=True)  # every parameter is ours, none keeps a default
    return model.eval()
