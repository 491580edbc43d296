"""Float64 forward pass of gemma3 and gemma4 files, written from their published maths.

Second opinion on the goldens: it shares no code with transformers. It can also make the mistakes
that implementations of these models are known for, one at a time, to show that a golden notices.
`python gemma_reference.py FILE...` compares each file's goldens with this pass and prints how far
each mistake moves the logits. Vectors are rows: x [tokens, d].
"""

import math
import sys

import numpy as np

from gguf_file import File
from reference import sigmoid, softmax

MISTAKES = (
    "no embedding scale", "no final cap", "window one too long", "no q norm", "no k norm",
    "scores by 1/sqrt(d)", "no v norm", "values from normed keys", "no post norms", "SiLU",
    "GELU by erf", "rope of one base", "rope factors ignored", "rope of the first dims",
    "no rope scaling", "image mask in no layer", "image mask in every layer",
    "router reads the experts' input", "router without 1/sqrt(width)", "router without its scale",
    "expert scale before renormalising", "no expert scale", "norms 1 and 2 swapped",
    "no dense branch", "layer scale without residual", "keys of the wrong layer",
    "no scale of input embeddings", "no scale of input projection", "no sum scale of inputs",
    "inputs of the next layer", "epsilon 1e-6",
)


def rms(x, weight=1.0, eps=1e-6):
    return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps) * weight


def gelu(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


class Model:
    """Holds one file's hyperparameters and weights; `made` counts the uses of its mistake."""

    def __init__(self, file, mistake=None):
        self.file, self.mistake, self.made = file, mistake, 0
        self.arch = file.meta["general.architecture"]
        self.four = self.arch == "gemma4"
        self.layers, self.width = self.key("block_count"), self.key("embedding_length")
        self.heads = self.key("attention.head_count")
        self.eps = self.key("attention.layer_norm_rms_epsilon")
        self.eps = 1e-6 if self.wrong("epsilon 1e-6") else self.eps
        self.sliding = self.key("attention.sliding_window_pattern",
                                [i % 6 < 5 for i in range(self.layers)])
        self.inputs = self.key("embedding_length_per_layer_input", 0)
        self.own = self.layers - self.key("attention.shared_kv_layers", 0)
        self.cache = {}

    def wrong(self, mistake):
        self.made += self.mistake == mistake
        return self.mistake == mistake

    def key(self, name, default=None):
        value = self.file.meta.get(f"{self.arch}.{name}", default)
        assert value is not None, f"key '{name}' missing"
        return value

    def weight(self, name):
        return self.file[name if name.endswith(".scale") else name + ".weight"].astype(np.float64)

    def norm(self, x, name):
        return rms(x, self.weight(name) if name else 1.0, self.eps)

    def post(self, x, name):
        return x if self.wrong("no post norms") else self.norm(x, name)

    def linear(self, x, name):
        return x @ self.weight(name).T

    def activate(self, x):
        if self.wrong("SiLU"):
            return x * sigmoid(x)
        if self.wrong("GELU by erf"):
            return 0.5 * x * (1 + np.vectorize(math.erf)(x / np.sqrt(2)))
        return gelu(x)

    def rope(self, x, layer):
        """Rotates [tokens, heads, dims] by position, pairs of halves."""
        dims, near = x.shape[-1], self.sliding[layer]
        base = self.key("rope.freq_base_swa" if near else "rope.freq_base")
        if near and self.wrong("rope of one base"):
            base = self.key("rope.freq_base")
        frequencies = float(base) ** (-np.arange(0, dims, 2) / dims)
        half = dims // 2
        if not near and self.four:
            factors = self.weight("rope_freqs")
            if self.wrong("rope of the first dims"):
                half = int((factors < 2).sum())
                frequencies = float(base) ** (-np.arange(half) / half)
            elif not self.wrong("rope factors ignored"):
                frequencies = frequencies / factors
        if not near and not self.four and not self.wrong("no rope scaling"):
            frequencies = frequencies / self.key("rope.scaling.factor", 1.0)
        angle = np.arange(x.shape[0])[:, None, None] * frequencies
        y, first, second = x.copy(), x[..., :half], x[..., half:2 * half]
        y[..., :half] = first * np.cos(angle) - second * np.sin(angle)
        y[..., half:2 * half] = second * np.cos(angle) + first * np.sin(angle)
        return y

    def keys_values(self, x, layer):
        if layer >= self.own:
            same = [i for i in range(self.own) if self.sliding[i] == self.sliding[layer]]
            return self.cache[same[0 if self.wrong("keys of the wrong layer") else -1]]
        blk = f"blk.{layer}."
        heads = self.key("attention.head_count_kv")
        heads = heads[layer] if isinstance(heads, list) else heads
        raw = self.linear(x, blk + "attn_k").reshape(len(x), heads, -1)
        k = raw if self.wrong("no k norm") else self.norm(raw, blk + "attn_k_norm")
        if blk + "attn_v.weight" in self.file:
            v = self.linear(x, blk + "attn_v").reshape(len(x), heads, -1)
        else:
            v = k if self.wrong("values from normed keys") else raw
        if self.four and not self.wrong("no v norm"):
            v = self.norm(v, None)
        self.cache[layer] = self.rope(k, layer), v
        return self.cache[layer]

    def hidden(self, layer, count, images):
        """Which positions [query, key] are masked."""
        ahead = np.arange(count)[None] - np.arange(count)[:, None]
        mask = ahead > 0
        looks = not self.four or (self.sliding[layer] and not self.inputs)
        looks = looks or (images and self.wrong("image mask in every layer"))
        if looks and not (images and self.wrong("image mask in no layer")):
            for first, end in images:
                mask[first:end, first:end] = False
        if self.sliding[layer]:
            window = self.key("attention.sliding_window") + self.wrong("window one too long")
            mask |= ahead <= -window
        return mask

    def attention(self, x, layer, images):
        blk = f"blk.{layer}."
        q = self.linear(x, blk + "attn_q").reshape(len(x), self.heads, -1)
        if not self.wrong("no q norm"):
            q = self.norm(q, blk + "attn_q_norm")
        q = self.rope(q, layer)
        k, v = (np.repeat(y, self.heads // y.shape[1], axis=1) for y in self.keys_values(x, layer))
        scores = np.einsum("ihd,jhd->hij", q, k)
        if not self.four or self.wrong("scores by 1/sqrt(d)"):
            scores /= np.sqrt(q.shape[-1])
        scores[:, self.hidden(layer, len(x), images)] = -np.inf
        out = np.einsum("hij,jhd->ihd", softmax(scores), v).reshape(len(x), -1)
        return self.linear(out, blk + "attn_output")

    def dense(self, x, blk):
        gate = self.activate(self.linear(x, blk + "ffn_gate"))
        return self.linear(gate * self.linear(x, blk + "ffn_up"), blk + "ffn_down")

    def route(self, h, blk):
        """The experts of each token, and their weights."""
        x = self.norm(h, None)
        if not self.wrong("router without its scale"):
            x = x * self.weight(blk + "ffn_gate_inp.scale")
        if self.wrong("router reads the experts' input"):
            x = self.norm(h, blk + "pre_ffw_norm_2")
        if not self.wrong("router without 1/sqrt(width)"):
            x = x / np.sqrt(self.width)
        share = softmax(self.linear(x, blk + "ffn_gate_inp"))
        chosen = np.argsort(-share, axis=-1, kind="stable")[:, :self.key("expert_used_count")]
        share = np.take_along_axis(share, chosen, axis=-1)
        scale = self.weight(blk + "ffn_down_exps.scale")[chosen]
        if self.wrong("expert scale before renormalising"):
            return chosen, share * scale / (share * scale).sum(axis=-1, keepdims=True)
        share = share / share.sum(axis=-1, keepdims=True)
        return chosen, share if self.wrong("no expert scale") else share * scale

    def experts(self, h, x, blk):
        gate_up, down = self.weight(blk + "ffn_gate_up_exps"), self.weight(blk + "ffn_down_exps")
        y, half = np.zeros_like(x), gate_up.shape[1] // 2
        for token, (ids, shares) in enumerate(zip(*self.route(h, blk))):
            for e, share in zip(ids, shares):
                both = gate_up[e] @ x[token]
                y[token] += share * (down[e] @ (self.activate(both[:half]) * both[half:]))
        return y

    def feed_forward(self, h, blk):
        if blk + "ffn_gate_inp.weight" not in self.file:
            return self.post(self.dense(self.norm(h, blk + "ffn_norm"), blk), blk + "post_ffw_norm")
        swapped = self.wrong("norms 1 and 2 swapped")
        pre = ("pre_ffw_norm_2", "ffn_norm") if swapped else ("ffn_norm", "pre_ffw_norm_2")
        beside = self.dense(self.norm(h, blk + pre[0]), blk)
        chosen = self.experts(h, self.norm(h, blk + pre[1]), blk)
        y = self.post(chosen, blk + f"post_ffw_norm_{1 if swapped else 2}")
        if not self.wrong("no dense branch"):
            y = y + self.post(beside, blk + f"post_ffw_norm_{2 if swapped else 1}")
        return self.post(y, blk + "post_ffw_norm")

    def layer_inputs(self, x, tokens):
        projected = self.linear(x, "per_layer_model_proj")
        if not self.wrong("no scale of input projection"):
            projected = projected / np.sqrt(self.width)
        shape = (len(x), self.layers, self.inputs)
        brought = self.weight("per_layer_token_embd")[tokens].reshape(shape)
        if not self.wrong("no scale of input embeddings"):
            brought = brought * np.sqrt(self.inputs)
        mixed = self.norm(projected.reshape(shape), "per_layer_proj_norm") + brought
        return mixed if self.wrong("no sum scale of inputs") else mixed / np.sqrt(2)

    def add_input(self, x, inputs, layer):
        blk = f"blk.{layer}."
        own = inputs[:, (layer + self.wrong("inputs of the next layer")) % self.layers]
        gated = self.activate(self.linear(x, blk + "inp_gate")) * own
        return x + self.post(self.linear(gated, blk + "proj"), blk + "post_norm")

    def logits(self, tokens, images=()):
        """Logits [tokens, vocabulary] of one sequence; rows of an image see all of it."""
        x = self.weight("token_embd")[tokens]
        if not self.wrong("no embedding scale"):
            x = x * np.sqrt(self.width)
        inputs = self.layer_inputs(x, tokens) if self.inputs else None
        for layer in range(self.layers):
            blk, before = f"blk.{layer}.", x
            mixed = self.attention(self.norm(x, blk + "attn_norm"), layer, images)
            x = x + self.post(mixed, blk + "post_attention_norm")
            x = x + self.feed_forward(x, blk)
            if self.inputs:
                x = self.add_input(x, inputs, layer)
            if self.four:
                scale = self.weight(blk + "layer_output_scale")
                wrong = self.wrong("layer scale without residual")
                x = before + (x - before) * scale if wrong else x * scale
        y = self.linear(self.norm(x, "output_norm"), "token_embd")
        cap = self.key("final_logit_softcapping", 30.0 if self.four else 0.0)
        return y if cap == 0 or self.wrong("no final cap") else cap * np.tanh(y / cap)


def difference(file, mistake=None):
    """The largest difference to any golden of the file, and whether the mistake was made."""
    model, largest = Model(file, mistake), 0.0
    cases = [("golden.logits", ())]
    if "golden.images" in file:
        cases.append(("golden.image_logits", [tuple(pair) for pair in file["golden.images"]]))
    for golden, images in cases:
        model.cache.clear()
        error = abs(model.logits(file["golden.tokens"], images) - file[golden]).max()
        largest = max(largest, error)
    return largest, model.made != 0


def check(path, tolerance=4e-5):
    file = File(path)
    largest, _ = difference(file)
    print(f"{path}: deviation {file['golden.logits'].std():.2f}, max difference {largest:.2e}")
    assert largest < tolerance, path


if __name__ == "__main__":
    for name in sys.argv[1:]:
        check(name)
        for mistake in MISTAKES:
            moved, made = difference(File(name), mistake)
            if made:
                print(f"    {mistake}: {moved:.2g}", flush=True)
