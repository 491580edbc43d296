"""Float64 forward pass over a GGUF file, written from the published maths of each architecture.

Second opinion on the goldens: it shares no code with transformers. Vectors are rows: x [tokens, d].
`python reference.py FILE...` compares each file's golden.logits with this pass.
"""

import sys

import numpy as np

import qwen35
from gguf_file import File

SWIGLU_ALPHA, SWIGLU_LIMIT = 1.702, 7.0


def rms_norm(x, weight, eps):
    return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps) * weight


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


class Model:
    """Holds one file's hyperparameters and weights; `logits(tokens)` is the forward pass."""

    def __init__(self, path, yarn_truncate=False):
        self.file = File(path)
        self.arch = self.file.meta["general.architecture"]
        self.heads = self.key("attention.head_count")
        self.kv_heads = self.key("attention.head_count_kv")
        self.head_dim = self.key("attention.key_length", self.key("embedding_length") // self.heads)
        self.eps = self.key("attention.layer_norm_rms_epsilon")
        self.yarn_truncate = yarn_truncate
        self.half_split = self.arch != "llama"
        self.frequencies, self.rope_gain = self.rope_frequencies()
        self.round_angles = lambda angles: angles  # a mistake would round them
        self.mixers = qwen35.Mixers(self) if self.arch.startswith("qwen3") else None
        self.router_gaps = []  # k-th minus (k+1)-th router logit of each layer and token
        self.clamped = 0  # gated units that met the SwiGLU limit

    def key(self, name, default=None):
        value = self.file.meta.get(f"{self.arch}.{name}", default)
        assert value is not None, f"key '{name}' missing"
        return value

    def weight(self, name):
        return self.file[name + ".weight"].astype(np.float64)

    def linear(self, x, name):
        y = x @ self.weight(name).T
        return y + self.file[name + ".bias"] if name + ".bias" in self.file else y

    def rope_frequencies(self):
        """Angle per position of each pair, and the factor on cosine and sine."""
        dims = self.key("rope.dimension_count", self.head_dim)
        base = float(self.key("rope.freq_base", 10000.0))
        plain = base ** (-np.arange(0, dims, 2) / dims)
        kind = self.key("rope.scaling.type", "none")
        if kind == "linear":
            return plain / self.key("rope.scaling.factor"), 1.0
        if kind == "yarn":
            return self.yarn(plain, dims, base)
        if "rope_freqs.weight" in self.file:
            return plain / self.weight("rope_freqs"), 1.0
        return plain, 1.0

    def yarn(self, plain, dims, base):
        factor = self.key("rope.scaling.factor")
        context = self.key("rope.scaling.original_context_length")

        def pair_turning(rotations):  # index of the pair that turns so often within the context
            return dims * np.log(context / (rotations * 2 * np.pi)) / (2 * np.log(base))

        low = pair_turning(self.key("rope.scaling.yarn_beta_fast", 32.0))
        high = pair_turning(self.key("rope.scaling.yarn_beta_slow", 1.0))
        if self.yarn_truncate:
            low, high = np.floor(low), np.ceil(high)
        low, high = max(low, 0), min(high, dims - 1)
        ramp = np.clip((np.arange(dims // 2) - low) / (high - low), 0, 1)
        return plain * (1 - ramp) + plain / factor * ramp, 0.1 * np.log(factor) + 1

    def rope(self, x):
        """Rotates [tokens, heads, head_dim] by position."""
        angle = np.arange(x.shape[0])[:, None, None] * self.frequencies
        angle = self.round_angles(angle)
        cos, sin = np.cos(angle) * self.rope_gain, np.sin(angle) * self.rope_gain
        dims = 2 * len(self.frequencies)
        if self.half_split:
            first, second = slice(0, dims // 2), slice(dims // 2, dims)
        else:
            first, second = slice(0, dims, 2), slice(1, dims, 2)
        y = x.copy()
        y[..., first] = x[..., first] * cos - x[..., second] * sin
        y[..., second] = x[..., second] * cos + x[..., first] * sin
        return y

    def attention(self, x, layer):
        n, blk = len(x), f"blk.{layer}."
        q, k, v = (self.linear(x, blk + name).reshape(n, -1, self.head_dim)
                   for name in ("attn_q", "attn_k", "attn_v"))
        q, k = self.rope(q), self.rope(k)
        group = self.heads // self.kv_heads
        k, v = np.repeat(k, group, axis=1), np.repeat(v, group, axis=1)
        scores = np.einsum("ihd,jhd->hij", q, k) / np.sqrt(self.head_dim)
        distance = np.arange(n)[:, None] - np.arange(n)
        hidden = distance < 0
        if self.arch == "gpt-oss" and layer % 2 == 0:
            hidden |= distance >= self.key("attention.sliding_window")
        scores[:, hidden] = -np.inf
        if blk + "attn_sinks.weight" in self.file:
            sink = np.broadcast_to(self.weight(blk + "attn_sinks")[:, None, None],
                                   (self.heads, n, 1))
            probabilities = softmax(np.concatenate([scores, sink], axis=-1))[..., :-1]
        else:
            probabilities = softmax(scores)
        out = np.einsum("hij,jhd->ihd", probabilities, v).reshape(n, -1)
        return self.linear(out, blk + "attn_output")

    def gated(self, gate, up):
        if self.arch != "gpt-oss":
            return gate * sigmoid(gate) * up
        self.clamped += int((gate > SWIGLU_LIMIT).sum() + (abs(up) > SWIGLU_LIMIT).sum())
        gate = np.minimum(gate, SWIGLU_LIMIT)
        up = np.clip(up, -SWIGLU_LIMIT, SWIGLU_LIMIT)
        return gate * sigmoid(SWIGLU_ALPHA * gate) * (up + 1)

    def dense(self, x, blk):
        gate, up = self.linear(x, blk + "ffn_gate"), self.linear(x, blk + "ffn_up")
        return self.linear(self.gated(gate, up), blk + "ffn_down")

    def experts(self, x, blk):
        router = self.linear(x, blk + "ffn_gate_inp")
        used = self.key("expert_used_count")
        order = np.argsort(-router, axis=-1, kind="stable")
        ranked = np.take_along_axis(router, order, axis=-1)
        self.router_gaps.append(ranked[:, used - 1] - ranked[:, used])
        share = softmax(ranked[:, :used])
        matrices = {name: self.weight(blk + name) for name in EXPERT_MATRICES}
        biases = {name: self.file[f"{blk}{name}.bias"] for name in EXPERT_MATRICES
                  if f"{blk}{name}.bias" in self.file}

        def apply(name, expert, vector):
            y = matrices[name][expert] @ vector
            return y + biases[name][expert] if name in biases else y

        y = np.zeros_like(x)
        for token, vector in enumerate(x):
            for rank in range(used):
                e = order[token, rank]
                hidden = self.gated(apply("ffn_gate_exps", e, vector),
                                    apply("ffn_up_exps", e, vector))
                y[token] += share[token, rank] * apply("ffn_down_exps", e, hidden)
        return y

    def logits(self, tokens):
        """Logits [tokens, vocabulary] of one sequence that starts at position 0."""
        x = self.weight("token_embd")[tokens]
        norm = "ffn_norm" if self.arch == "llama" else "post_attention_norm"
        mix = self.mixers.mix if self.mixers else self.attention
        for layer in range(self.key("block_count") - self.key("nextn_predict_layers", 0)):
            blk = f"blk.{layer}."
            x = x + mix(rms_norm(x, self.weight(blk + "attn_norm"), self.eps), layer)
            h = rms_norm(x, self.weight(blk + norm), self.eps)
            moe = blk + "ffn_gate_inp.weight" in self.file
            x = x + (self.experts if moe else self.dense)(h, blk)
            if blk + "ffn_gate_inp_shexp.weight" in self.file:
                x = x + self.mixers.shared_expert(h, blk)
        head = "output" if "output.weight" in self.file else "token_embd"
        return rms_norm(x, self.weight("output_norm"), self.eps) @ self.weight(head).T


EXPERT_MATRICES = ("ffn_gate_exps", "ffn_up_exps", "ffn_down_exps")


def check(path, tolerance=3e-5):
    """Compares a golden with this pass and prints one line; raises if they differ."""
    model = Model(path, yarn_truncate="truncated" in path)
    golden = model.file["golden.logits"]
    logits = model.logits(model.file["golden.tokens"])
    difference = abs(logits - golden).max()
    gap = min(map(np.min, model.router_gaps), default=np.inf)
    print(f"{path}: {golden.shape[0]} x {golden.shape[1]} logits, deviation {golden.std():.2f}, "
          f"max difference {difference:.2e}, smallest routing gap {gap:.3f}, "
          f"{model.clamped} units clamped")
    assert difference < tolerance and gap > 1e-3, path
    assert (model.arch == "gpt-oss") == (model.clamped > 0), path


if __name__ == "__main__":
    for name in sys.argv[1:]:
        check(name)
