"""Float64 forward pass of mimo2 files, written from their published maths.

Second opinion on the goldens: it shares no code with transformers. It can also make the mistakes
that implementations of this model are known for, or invite, one at a time, to show that a golden
notices. `python mimo_reference.py FILE...` compares each file's golden with this pass and prints
how far each mistake moves the logits. Vectors are rows: x [tokens, d].
"""

import sys

import numpy as np

from gguf_file import File
from reference import rms_norm, sigmoid, softmax

MISTAKES = (
    "no value scale", "value scale of 1/sqrt(2)", "value scale on scores", "window one too long",
    "window one too short", "window in every layer", "no sinks", "sinks scaled like scores",
    "scores by value width", "rope of the whole head", "rope exponents by head width",
    "rope of neighbours", "rope of one base", "no rope scaling", "rope scaling in every layer",
    "query heads take turns", "values before keys", "no selection bias",
    "bias before the sigmoid", "weights with the bias", "no renormalising", "softmax scores",
    "no scale of weights", "blocks behind the last are layers",
    "epsilon 1e-6",
)


class Model:
    """Holds one file's hyperparameters and weights; `made` counts the uses of its mistake."""

    def __init__(self, file, mistake=None):
        self.file, self.mistake, self.made = file, mistake, 0
        self.eps = self.key("attention.layer_norm_rms_epsilon")
        self.eps = 1e-6 if self.wrong("epsilon 1e-6") else self.eps
        self.heads = self.key("attention.head_count")
        self.keys, self.values = self.key("attention.key_length"), self.key("attention.value_length")
        self.layers, behind = self.key("block_count"), self.key("nextn_predict_layers", 0)
        if behind == 0 or not self.wrong("blocks behind the last are layers"):
            self.layers -= behind
        self.gaps = []  # k-th minus (k+1)-th score of each layer and token

    def wrong(self, mistake):
        self.made += self.mistake == mistake
        return self.mistake == mistake

    def key(self, name, default=None):
        value = self.file.meta.get(f"mimo2.{name}", default)
        assert value is not None, f"key '{name}' missing"
        return value

    def weight(self, name):
        return self.file[name if name.endswith(".bias") else name + ".weight"].astype(np.float64)

    def linear(self, x, name):
        return x @ self.weight(name).T

    def near(self, layer):
        return self.key("attention.sliding_window_pattern")[layer]

    def rope(self, x, layer):
        """Rotates the first dims of [tokens, heads, width] by position."""
        near, factor = self.near(layer), self.key("rope.scaling.factor", 1.0)
        dims = self.key("rope.dimension_count")
        if self.wrong("rope of the whole head"):
            dims = self.keys
        base = self.key("rope.freq_base_swa" if near else "rope.freq_base")
        if near and self.wrong("rope of one base"):
            base = self.key("rope.freq_base")
        divisor = self.keys if self.wrong("rope exponents by head width") else dims
        frequencies = float(base) ** (-np.arange(0, dims, 2) / divisor)
        if factor != 1 and not near and not self.wrong("no rope scaling"):
            frequencies = frequencies / factor
        if factor != 1 and near and self.wrong("rope scaling in every layer"):
            frequencies = frequencies / factor
        first, second = slice(0, dims // 2), slice(dims // 2, dims)
        if self.wrong("rope of neighbours"):
            first, second = slice(0, dims, 2), slice(1, dims, 2)
        angle = np.arange(x.shape[0])[:, None, None] * frequencies
        y = x.copy()
        y[..., first] = x[..., first] * np.cos(angle) - x[..., second] * np.sin(angle)
        y[..., second] = x[..., second] * np.cos(angle) + x[..., first] * np.sin(angle)
        return y

    def inputs(self, x, layer):
        """Queries, keys and values [tokens, heads, width]."""
        blk, kv = f"blk.{layer}.", self.key("attention.head_count_kv")[layer]
        if blk + "attn_qkv.weight" in self.file:
            rows, queries = self.linear(x, blk + "attn_qkv"), self.heads * self.keys
            k_first = queries
            v_first = queries + kv * self.keys
            if self.wrong("values before keys"):
                k_first, v_first = queries + kv * self.values, queries
            q, k, v = (rows[:, first:first + size] for first, size in (
                (0, queries), (k_first, kv * self.keys), (v_first, kv * self.values)))
        else:
            q, k, v = (self.linear(x, blk + name) for name in ("attn_q", "attn_k", "attn_v"))
        return (q.reshape(len(x), -1, self.keys), k.reshape(len(x), -1, self.keys),
                v.reshape(len(x), -1, self.values))

    def hidden(self, layer, count):
        """Which positions [query, key] are masked."""
        ahead = np.arange(count)[None] - np.arange(count)[:, None]
        mask = ahead > 0
        if self.near(layer) or self.wrong("window in every layer"):
            window = self.key("attention.sliding_window") + self.wrong("window one too long")
            mask |= ahead <= -(window - self.wrong("window one too short"))
        return mask

    def value_scale(self):
        scale = self.key("attention.value_scale", 0.707)
        if scale == 0.707 and self.wrong("value scale of 1/sqrt(2)"):
            return np.sqrt(0.5)
        return 1.0 if self.wrong("no value scale") else scale

    def attention(self, x, layer):
        blk = f"blk.{layer}."
        q, k, v = self.inputs(x, layer)
        q, k = self.rope(q, layer), self.rope(k, layer)
        group = self.heads // k.shape[1]
        shared = np.arange(self.heads) // group
        if self.wrong("query heads take turns"):
            shared = np.arange(self.heads) % k.shape[1]
        k, v = k[:, shared], v[:, shared]
        divisor = self.values if self.wrong("scores by value width") else self.keys
        scores = np.einsum("ihd,jhd->hij", q, k) / np.sqrt(divisor)
        scale = self.value_scale()
        if self.wrong("value scale on scores"):
            scores, scale = scores * scale, 1.0
        scores[:, self.hidden(layer, len(x))] = -np.inf
        if blk + "attn_sinks.weight" in self.file and not self.wrong("no sinks"):
            sinks = self.weight(blk + "attn_sinks")
            if self.wrong("sinks scaled like scores"):
                sinks = sinks / np.sqrt(self.keys)
            sinks = np.broadcast_to(sinks[:, None, None], (self.heads, len(x), 1))
            shares = softmax(np.concatenate([scores, sinks], axis=-1))[..., :-1]
        else:
            shares = softmax(scores)
        out = scale * np.einsum("hij,jhd->ihd", shares, v)
        return self.linear(out.reshape(len(x), -1), blk + "attn_output")

    def route(self, x, blk):
        """The experts of each token, and their weights."""
        used, bias = self.key("expert_used_count"), self.weight(blk + "exp_probs_b.bias")
        logits = self.linear(x, blk + "ffn_gate_inp")
        if self.wrong("bias before the sigmoid"):
            logits, bias = logits + bias, 0.0
        scores = softmax(logits) if self.wrong("softmax scores") else sigmoid(logits)
        chosen_by = scores if self.wrong("no selection bias") else scores + bias
        order = np.argsort(-chosen_by, axis=-1, kind="stable")
        ranked = np.take_along_axis(chosen_by, order, axis=-1)
        self.gaps.append(ranked[:, used - 1] - ranked[:, used])
        weights = np.take_along_axis(scores, order, axis=-1)[:, :used]
        if self.wrong("weights with the bias"):
            weights = ranked[:, :used]
        if not self.wrong("no renormalising"):
            weights = weights / (weights.sum(axis=-1, keepdims=True) + 1e-20)
        scale = self.key("expert_weights_scale", 1.0)
        if scale != 1.0 and not self.wrong("no scale of weights"):
            weights = weights * scale
        return order[:, :used], weights

    def experts(self, x, blk):
        gate, up, down = (self.weight(f"{blk}ffn_{name}_exps") for name in ("gate", "up", "down"))
        y = np.zeros_like(x)
        for token, (ids, weights) in enumerate(zip(*self.route(x, blk))):
            for e, weight in zip(ids, weights):
                g = gate[e] @ x[token]
                y[token] += weight * (down[e] @ (g * sigmoid(g) * (up[e] @ x[token])))
        return y

    def dense(self, x, blk):
        gate = self.linear(x, blk + "ffn_gate")
        return self.linear(gate * sigmoid(gate) * self.linear(x, blk + "ffn_up"), blk + "ffn_down")

    def logits(self, tokens):
        """Logits [tokens, vocabulary] of one sequence that starts at position 0."""
        x = self.weight("token_embd")[tokens]
        for layer in range(self.layers):
            blk = f"blk.{layer}."
            x = x + self.attention(rms_norm(x, self.weight(blk + "attn_norm"), self.eps), layer)
            n = rms_norm(x, self.weight(blk + "ffn_norm"), self.eps)
            routed = blk + "ffn_gate_inp.weight" in self.file
            x = x + (self.experts if routed else self.dense)(n, blk)
        return self.linear(rms_norm(x, self.weight("output_norm"), self.eps), "output")


def check(path, tolerance=4e-5):
    file = File(path)
    model, golden = Model(file), file["golden.logits"]
    largest = abs(model.logits(file["golden.tokens"]) - golden).max()
    gap = min(map(np.min, model.gaps))
    print(f"{path}: deviation {golden.std():.2f}, max difference {largest:.2e}, smallest gap of "
          f"scores {gap:.3f}", flush=True)
    assert largest < tolerance and gap > 1e-3, path


if __name__ == "__main__":
    for name in sys.argv[1:]:
        check(name)
        file = File(name)
        for mistake in MISTAKES:
            model = Model(file, mistake)
            moved = abs(model.logits(file["golden.tokens"]) - file["golden.logits"]).max()
            if model.made:
                print(f"    {mistake}: {moved:.2g}", flush=True)
