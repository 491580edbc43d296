"""Qwen3.5, its mixture of experts and Qwen3-Next: tiny configurations in the layout of GGUF files,
what their tensors become in Hugging Face models, and the mixers in float64.

In files of "qwen35" and "qwen35moe" value heads are tiled: head g reads key head g mod key_heads.
Hugging Face, and files of "qwen3next", group them: head h reads key head h div r.

`python qwen35.py FILE...` makes the mistakes that implementations are known for, one at a time, and
prints how far each moves the logits.
"""

import sys

import numpy as np

SSM = {"ssm.conv_kernel": 4, "attention.layer_norm_rms_epsilon": 1e-6, "rope.freq_base": 3000.0,
       "context_length": 512}
QWEN35 = {  # three value heads for a key head, whose widths differ; one MTP block at the end
    **SSM, "block_count": 7, "nextn_predict_layers": 1, "full_attention_interval": 3,
    "embedding_length": 60, "feed_forward_length": 88, "attention.head_count": 4,
    "attention.head_count_kv": 2, "attention.key_length": 24, "attention.value_length": 24,
    "rope.dimension_count": 6, "rope.dimension_sections": [1, 1, 1, 0], "ssm.group_count": 2,
    "ssm.time_step_rank": 6, "ssm.state_size": 20, "ssm.inner_size": 6 * 12,
}
QWEN35MOE = {
    **SSM, "block_count": 4, "full_attention_interval": 4, "embedding_length": 48,
    "attention.head_count": 4, "attention.head_count_kv": 1, "attention.key_length": 32,
    "attention.value_length": 32, "rope.dimension_count": 8, "rope.dimension_sections": [2, 1, 1, 0],
    "ssm.group_count": 2, "ssm.time_step_rank": 4, "ssm.state_size": 16, "ssm.inner_size": 4 * 16,
    "expert_count": 8, "expert_used_count": 3, "expert_feed_forward_length": 32,
    "expert_shared_feed_forward_length": 40,
}
QWEN35MOE_LEGACY = {
    **QWEN35MOE, "embedding_length": 64, "ssm.state_size": 32, "ssm.inner_size": 4 * 32,
    "expert_shared_feed_forward_length": 64,
}
QWEN3NEXT = {
    **{k: v for k, v in QWEN35MOE.items() if k != "rope.dimension_sections"},
    "ssm.time_step_rank": 6, "ssm.inner_size": 6 * 16, "expert_used_count": 2,
}


def sizes(meta):
    """key heads, value heads, width of a key head, width of a value head"""
    values = meta["ssm.time_step_rank"]
    return meta["ssm.group_count"], values, meta["ssm.state_size"], meta["ssm.inner_size"] // values


def trunk(meta):
    return meta["block_count"] - meta.get("nextn_predict_layers", 0)


def is_full(meta, layer):
    return (layer + 1) % meta["full_attention_interval"] == 0 or layer >= trunk(meta)


def mixer_shapes(arch, meta, layer):
    d, heads, kv = (meta[k] for k in ("embedding_length", "attention.head_count",
                                      "attention.head_count_kv"))
    dims = meta["attention.key_length"]
    if is_full(meta, layer):
        yield "attn_q.weight", (heads * 2 * dims, d)  # of each head the query, then its gate
        yield "attn_k.weight", (kv * dims, d)
        yield "attn_v.weight", (kv * dims, d)
        yield "attn_q_norm.weight", (dims,)
        yield "attn_k_norm.weight", (dims,)
        yield "attn_output.weight", (d, heads * dims)
        return
    nk, nv, dk, dv = sizes(meta)
    channels = 2 * nk * dk + nv * dv
    yield "attn_qkv.weight", (channels, d)
    yield "attn_gate.weight", (nv * dv, d)
    if arch == "qwen3next":
        yield "ssm_ba.weight", (2 * nv, d)
    else:
        yield "ssm_alpha.weight", (nv, d)
        yield "ssm_beta.weight", (nv, d)
    yield "ssm_conv1d.weight", (channels, meta["ssm.conv_kernel"])
    yield "ssm_a", (nv,)
    yield "ssm_dt.bias", (nv,)
    yield "ssm_norm.weight", (dv,)
    yield "ssm_out.weight", (d, nv * dv)


def ffn_shapes(meta):
    d, experts = meta["embedding_length"], meta.get("expert_count", 0)
    if not experts:
        ffn = meta["feed_forward_length"]
        yield from (("ffn_gate.weight", (ffn, d)), ("ffn_up.weight", (ffn, d)),
                    ("ffn_down.weight", (d, ffn)))
        return
    ffn, shared = (meta[k] for k in ("expert_feed_forward_length",
                                     "expert_shared_feed_forward_length"))
    yield "ffn_gate_inp.weight", (experts, d)
    yield "ffn_gate_exps.weight", (experts, ffn, d)
    yield "ffn_up_exps.weight", (experts, ffn, d)
    yield "ffn_down_exps.weight", (experts, d, ffn)
    yield "ffn_gate_inp_shexp.weight", (d,)
    yield "ffn_gate_shexp.weight", (shared, d)
    yield "ffn_up_shexp.weight", (shared, d)
    yield "ffn_down_shexp.weight", (d, shared)


def shapes(arch, meta, vocabulary, tied):
    """Yields (tensor name, numpy shape) in file order."""
    d = meta["embedding_length"]
    yield "token_embd.weight", (vocabulary, d)
    yield "output_norm.weight", (d,)
    if not tied:
        yield "output.weight", (vocabulary, d)
    for n in range(meta["block_count"]):
        for name, shape in (("attn_norm.weight", (d,)), ("post_attention_norm.weight", (d,)),
                            *mixer_shapes(arch, meta, n), *ffn_shapes(meta)):
            yield f"blk.{n}.{name}", shape
        if n >= trunk(meta):
            yield f"blk.{n}.nextn.eh_proj.weight", (d, 2 * d)
            yield f"blk.{n}.nextn.enorm.weight", (d,)
            yield f"blk.{n}.nextn.hnorm.weight", (d,)


def random_tensor(rng, name, shape):
    """What would be no plain normal tensor; None for the others. Decays last for some tokens."""
    if name.endswith("ssm_a"):
        return -np.exp(rng.normal(0, 0.5, shape))
    if name.endswith("ssm_dt.bias"):
        return rng.normal(-2, 1, shape)
    if name.endswith("ssm_conv1d.weight"):
        return rng.normal(0, 0.6, shape)
    if name.endswith("ffn_gate_inp_shexp.weight"):
        return rng.normal(0, 2 / np.sqrt(shape[0]), shape)
    if name.endswith(("q_norm.weight", "k_norm.weight")):
        return rng.normal(1.5, 0.3, shape)
    return None


def grouped(values, meta, width):
    """Rows of tiled value heads, `width` rows each, in Hugging Face's order."""
    nk, nv, _, _ = sizes(meta)
    rest = values.shape[1:]
    heads = values.reshape(nv // nk, nk, width, *rest)
    return heads.swapaxes(0, 1).reshape(nv * width, *rest)


def mixer_parameters(arch, meta, get, n):
    hf, blk = f"model.layers.{n}.", f"blk.{n}."
    if is_full(meta, n):
        for theirs, ours in (("q_proj", "attn_q"), ("k_proj", "attn_k"), ("v_proj", "attn_v"),
                             ("o_proj", "attn_output")):
            yield f"{hf}self_attn.{theirs}.weight", get(f"{blk}{ours}.weight")
        for name in ("q_norm", "k_norm"):
            yield f"{hf}self_attn.{name}.weight", get(f"{blk}attn_{name}.weight") - 1
        return
    hf += "linear_attn."
    nk, nv, dk, dv = sizes(meta)
    r = nv // nk
    regroup = grouped if arch != "qwen3next" else lambda values, *_: values

    def channels(values):  # of q, k and v
        keys = 2 * nk * dk
        return np.concatenate([values[:keys], regroup(values[keys:], meta, dv)])

    qkv, z = channels(get(blk + "attn_qkv.weight")), regroup(get(blk + "attn_gate.weight"), meta, dv)
    if arch == "qwen3next":  # of each key head q, k, its values, their gates
        q, k, v = np.split(qkv, (nk * dk, 2 * nk * dk))
        parts = (part.reshape(nk, -1, qkv.shape[1]) for part in (q, k, v, z))
        yield hf + "in_proj_qkvz.weight", np.concatenate([*parts], axis=1).reshape(-1, qkv.shape[1])
        yield hf + "in_proj_ba.weight", get(blk + "ssm_ba.weight")
    else:
        yield hf + "in_proj_qkv.weight", qkv
        yield hf + "in_proj_z.weight", z
        yield hf + "in_proj_a.weight", regroup(get(blk + "ssm_alpha.weight"), meta, 1)
        yield hf + "in_proj_b.weight", regroup(get(blk + "ssm_beta.weight"), meta, 1)
    yield hf + "conv1d.weight", channels(get(blk + "ssm_conv1d.weight"))[:, None]
    yield hf + "A_log", np.log(-regroup(get(blk + "ssm_a").astype(np.float64), meta, 1))
    yield hf + "dt_bias", regroup(get(blk + "ssm_dt.bias"), meta, 1)
    yield hf + "norm.weight", get(blk + "ssm_norm.weight")
    yield hf + "out_proj.weight", regroup(get(blk + "ssm_out.weight").T, meta, dv).T
    assert r * nk == nv


def ffn_parameters(meta, get, n):
    hf, blk = f"model.layers.{n}.mlp.", f"blk.{n}."
    if "expert_count" not in meta:
        for name in ("gate", "up", "down"):
            yield f"{hf}{name}_proj.weight", get(f"{blk}ffn_{name}.weight")
        return
    yield hf + "gate.weight", get(blk + "ffn_gate_inp.weight")
    gate, up = get(blk + "ffn_gate_exps.weight"), get(blk + "ffn_up_exps.weight")
    yield hf + "experts.gate_up_proj", np.concatenate([gate, up], axis=1)
    yield hf + "experts.down_proj", get(blk + "ffn_down_exps.weight")
    for name in ("gate", "up", "down"):
        yield f"{hf}shared_expert.{name}_proj.weight", get(f"{blk}ffn_{name}_shexp.weight")
    yield hf + "shared_expert_gate.weight", get(blk + "ffn_gate_inp_shexp.weight")[None]


def parameters(arch, meta, get, tied):
    """Everything under the names of Hugging Face. Norms are 1 + w there, but for the gated one."""
    yield "model.embed_tokens.weight", get("token_embd.weight")
    yield "model.norm.weight", get("output_norm.weight") - 1
    yield "lm_head.weight", get("token_embd.weight" if tied else "output.weight")
    for n in range(trunk(meta)):
        hf, blk = f"model.layers.{n}.", f"blk.{n}."
        yield hf + "input_layernorm.weight", get(blk + "attn_norm.weight") - 1
        yield hf + "post_attention_layernorm.weight", get(blk + "post_attention_norm.weight") - 1
        yield from mixer_parameters(arch, meta, get, n)
        yield from ffn_parameters(meta, get, n)


def config(arch, meta, vocabulary, tied):
    from transformers import Qwen3_5MoeTextConfig, Qwen3_5TextConfig, Qwen3NextConfig

    nk, nv, dk, dv = sizes(meta)
    dims = meta["attention.key_length"]
    rope = {"rope_type": "default", "rope_theta": meta["rope.freq_base"],
            "partial_rotary_factor": meta["rope.dimension_count"] / dims}
    if "rope.dimension_sections" in meta:
        rope |= {"mrope_section": meta["rope.dimension_sections"][:3], "mrope_interleaved": True}
    common = dict(
        vocab_size=vocabulary, hidden_size=meta["embedding_length"], num_hidden_layers=trunk(meta),
        num_attention_heads=meta["attention.head_count"],
        num_key_value_heads=meta["attention.head_count_kv"], head_dim=dims,
        max_position_embeddings=meta["context_length"],
        rms_norm_eps=meta["attention.layer_norm_rms_epsilon"], tie_word_embeddings=tied,
        rope_parameters=rope, linear_conv_kernel_dim=meta["ssm.conv_kernel"],
        linear_num_key_heads=nk, linear_num_value_heads=nv, linear_key_head_dim=dk,
        linear_value_head_dim=dv,
        layer_types=["full_attention" if is_full(meta, n) else "linear_attention"
                     for n in range(trunk(meta))])
    if arch == "qwen35":
        return Qwen3_5TextConfig(**common, intermediate_size=meta["feed_forward_length"])
    made = Qwen3_5MoeTextConfig if arch == "qwen35moe" else Qwen3NextConfig
    return made(**common, num_experts=meta["expert_count"],
                num_experts_per_tok=meta["expert_used_count"],
                moe_intermediate_size=meta["expert_feed_forward_length"],
                shared_expert_intermediate_size=meta["expert_shared_feed_forward_length"])


# ---- float64, in the order of the file


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softplus(x):
    return np.maximum(x, 0) + np.log1p(np.exp(-abs(x)))


def unit(x):
    return x / np.sqrt((x * x).sum(-1, keepdims=True) + 1e-6)


def rms(x, weight, eps):
    return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps) * weight


MISTAKES = (
    "decay exponentiated twice", "value heads mapped the other way", "1 added to the gated norm",
    "1 added to the norm of queries", "queries and gates in halves", "SiLU gates attention",
    "sigmoid gates delta-nets", "no SiLU behind the convolution", "convolution backwards",
    "queries and keys of any length", "queries not scaled", "state read before it decays",
    "state read before its update", "rope over the whole head", "rope of neighbours",
    "shared expert without its gate", "1 added to the norms of layers", "state in bf16",
    "angles in bf16",
)


def bf16(x):
    bits = x.astype(np.float32).view(np.uint32)
    return ((bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000).astype(np.uint32).view(np.float32)


class Mixers:
    """The mixers of one file; x [tokens, d] is normed already. `made` counts uses of a mistake."""

    def __init__(self, model, mistake=None):
        self.model, self.mistake, self.made = model, mistake, 0
        self.meta = {k.split(".", 1)[1]: v for k, v in model.file.meta.items()
                     if k.startswith(model.arch + ".")}
        self.eps = model.eps

    def wrong(self, mistake):
        self.made += self.mistake == mistake
        return self.mistake == mistake

    def convolve(self, u, taps):
        if self.wrong("convolution backwards"):
            taps = taps[:, ::-1]
        padded = np.concatenate([np.zeros((taps.shape[1] - 1, u.shape[1])), u])
        c = sum(padded[i:i + len(u)] * taps[:, i] for i in range(taps.shape[1]))
        return c if self.wrong("no SiLU behind the convolution") else c * sigmoid(c)

    def remember(self, q, k, v, decay, rate):
        """One head: q, k [tokens, dk], v [tokens, dv] -> [tokens, dv]"""
        state, y = np.zeros((k.shape[1], v.shape[1])), np.zeros(v.shape)
        for t in range(len(y)):
            decayed = state * decay[t]
            read = state if self.wrong("state read before it decays") else decayed
            state = decayed + np.outer(k[t], rate[t] * (v[t] - k[t] @ read))
            if self.wrong("state in bf16"):
                state = bf16(state).astype(np.float64)
            y[t] = q[t] @ (decayed if self.wrong("state read before its update") else state)
        return y

    def delta_net(self, x, blk):
        nk, nv, dk, dv = sizes(self.meta)
        n, r, get, weight = len(x), nv // nk, self.model.file.__getitem__, self.model.weight
        z = (x @ weight(blk + "attn_gate").T).reshape(n, nv, dv)
        c = self.convolve(x @ weight(blk + "attn_qkv").T, weight(blk + "ssm_conv1d"))
        q, k, v = np.split(c, (nk * dk, 2 * nk * dk), axis=1)
        q, k, v = q.reshape(n, nk, dk), k.reshape(n, nk, dk), v.reshape(n, nv, dv)
        if not self.wrong("queries and keys of any length"):
            q, k = unit(q), unit(k)
        if not self.wrong("queries not scaled"):
            q = q / np.sqrt(dk)
        grouped_heads = self.model.arch == "qwen3next"
        if grouped_heads:
            ba = (x @ weight(blk + "ssm_ba").T).reshape(n, nk, 2, r)
            b, a = (ba[:, :, i].reshape(n, nv) for i in (0, 1))
        else:
            a, b = (x @ weight(blk + name).T for name in ("ssm_alpha", "ssm_beta"))
        slope = get(blk + "ssm_a")
        if self.wrong("decay exponentiated twice"):
            slope = -np.exp(slope)
        decay, rate = np.exp(slope * softplus(a + get(blk + "ssm_dt.bias"))), sigmoid(b)
        if self.wrong("value heads mapped the other way"):
            grouped_heads = not grouped_heads
        key_head = np.arange(nv) // r if grouped_heads else np.arange(nv) % nk
        y = np.stack([self.remember(q[:, key_head[h]], k[:, key_head[h]], v[:, h], decay[:, h],
                                    rate[:, h]) for h in range(nv)], axis=1)
        y = rms(y, weight(blk + "ssm_norm") + self.wrong("1 added to the gated norm"), self.eps)
        y = y * (sigmoid(z) if self.wrong("sigmoid gates delta-nets") else z * sigmoid(z))
        return y.reshape(n, -1) @ weight(blk + "ssm_out").T

    def attention(self, x, blk):
        n, heads, kv = len(x), self.model.heads, self.model.kv_heads
        dims, weight = self.model.head_dim, self.model.weight
        q = x @ weight(blk + "attn_q").T
        if self.wrong("queries and gates in halves"):
            q = q.reshape(n, 2, heads, dims).swapaxes(1, 2)
        q = q.reshape(n, heads, 2, dims)
        q, gate = q[:, :, 0], q[:, :, 1]
        k, v = ((x @ weight(blk + name).T).reshape(n, kv, dims) for name in ("attn_k", "attn_v"))
        q_norm = weight(blk + "attn_q_norm") + self.wrong("1 added to the norm of queries")
        if self.wrong("rope over the whole head"):
            base = float(self.meta["rope.freq_base"])
            self.model.frequencies = base ** (-np.arange(0, dims, 2) / dims)
        self.model.half_split = not self.wrong("rope of neighbours")
        if self.wrong("angles in bf16"):
            self.model.round_angles = bf16
        q = self.model.rope(rms(q, q_norm, self.eps))
        k = self.model.rope(rms(k, weight(blk + "attn_k_norm"), self.eps))
        k, v = np.repeat(k, heads // kv, axis=1), np.repeat(v, heads // kv, axis=1)
        scores = np.einsum("ihd,jhd->hij", q, k) / np.sqrt(dims)
        scores[:, np.triu(np.ones((n, n), bool), 1)] = -np.inf
        e = np.exp(scores - scores.max(-1, keepdims=True))
        y = np.einsum("hij,jhd->ihd", e / e.sum(-1, keepdims=True), v)
        y = y * sigmoid(gate) * (gate if self.wrong("SiLU gates attention") else 1)
        return y.reshape(n, -1) @ weight(blk + "attn_output").T

    def mix(self, x, layer):
        if self.wrong("1 added to the norms of layers"):
            weight = self.model.weight(f"blk.{layer}.attn_norm")
            x = x / weight * (weight + 1)
        mixer = self.attention if is_full(self.meta, layer) else self.delta_net
        return mixer(x, f"blk.{layer}.")

    def shared_expert(self, x, blk):
        gate, up, down = (self.model.weight(f"{blk}ffn_{name}_shexp")
                          for name in ("gate", "up", "down"))
        hidden = x @ gate.T
        y = (hidden * sigmoid(hidden) * (x @ up.T)) @ down.T
        if self.wrong("shared expert without its gate"):
            return y
        return sigmoid(x @ self.model.weight(blk + "ffn_gate_inp_shexp"))[:, None] * y


def main(paths, tokens=60):
    import reference

    for path in paths:
        print(path)
        for mistake in (None, *MISTAKES):
            model = reference.Model(path)
            model.mixers = Mixers(model, mistake)
            logits = model.logits(model.file["golden.tokens"][:tokens])
            moved = abs(logits - model.file["golden.logits"][:tokens]).max()
            if mistake is None or model.mixers.made:
                print(f"    {mistake or 'no mistake'}: {moved:.2g}", flush=True)
                # Roundings are smaller mistakes than others; the tests allow 5e-5.
                least = 2e-3 if "bf16" in (mistake or "") else 0.1
                assert (moved > least) == (mistake is not None), mistake


if __name__ == "__main__":
    main(sys.argv[1:])
