"""Makes tests/data/parity/NAME/: the goldens of parity/NAME.gguf as directories of Hugging Face.

The models are those of `huggingface.py`, saved by transformers itself, so names, shapes and
configuration are its own. Two directories are written here: `gpt_oss_mxfp4`, whose experts keep
their blocks in the published layout, and `mimo2_fp8`, in the published layout of MiMo-V2-Flash with
golden.tokens and golden.logits of its dequantised weights beside the model's tensors.

`python safetensors_twins.py DIRECTORY [NAME...]`, after tiny_models.py
"""

import json
import os
import sys

import numpy as np
import torch
from gguf import GGMLQuantizationType as Type
from safetensors.torch import save_file

import huggingface
import mimo
from gguf_file import File
from tiny_models import MODELS, decisive_tokens

SHARDED = {"gpt_oss": "300KB", "mixtral": "400KB"}  # bytes of a file
TWINS = ("llama", "llama_tied", "mixtral", "gpt_oss", "gemma3", "gemma4_dense", "gemma4_shared",
         "gemma4_bf16", "qwen35", "qwen35moe", "qwen3next", "mimo2_fused")


def golden_model(directory, name):
    """The Hugging Face model of a golden, and its file."""
    made = MODELS[name]
    file = File(f"{directory}/{name}.gguf")
    model = huggingface.load(made["arch"], made["meta"], file.__getitem__, made["vocabulary"],
                             made.get("tied", False), made.get("truncate", False))
    return model, file


def twin(directory, name):
    model, _ = golden_model(directory, name)
    if name.endswith("bf16"):
        model = model.to(torch.bfloat16)  # exact: matrices are, and vectors were rounded
    model.save_pretrained(f"{directory}/{name}", max_shard_size=SHARDED.get(name, "5GB"))


def blocks_of(file, name):
    """Blocks [..., n, 16] and scales [..., n] of an MXFP4 tensor, weights in pairs of neighbours."""
    tensor = file.tensors[name]
    assert tensor.tensor_type == Type.MXFP4
    shape = tuple(reversed(tensor.shape.tolist()))
    raw = np.array(tensor.data).reshape(*shape[:-1], shape[-1] // 32, 17)
    codes = np.concatenate([raw[..., 1:] & 15, raw[..., 1:] >> 4], axis=-1)
    return codes[..., 0::2] | codes[..., 1::2] << 4, raw[..., 0]


def mxfp4(directory, name):
    model, file = golden_model(directory, name)
    state = {key: value.clone() for key, value in model.state_dict().items()
             if not key.endswith(("experts.gate_up_proj", "experts.down_proj"))}
    for n in range(model.config.num_hidden_layers):
        experts = f"model.layers.{n}.mlp.experts."
        gate, up, down = (blocks_of(file, f"blk.{n}.ffn_{part}_exps.weight")
                          for part in ("gate", "up", "down"))
        for kind, i in (("blocks", 0), ("scales", 1)):
            both = np.stack([gate[i], up[i]], axis=2)
            both = both.reshape(both.shape[0], -1, *both.shape[3:])
            state[f"{experts}gate_up_proj_{kind}"] = torch.from_numpy(both)
            state[f"{experts}down_proj_{kind}"] = torch.from_numpy(np.ascontiguousarray(down[i]))
    config = json.loads(model.config.to_json_string(use_diff=False))
    config["quantization_config"] = {"quant_method": "mxfp4"}
    write(f"{directory}/{name}", config, state)


MIMO_FP8 = {  # rows and columns that are no multiples of 128
    **mimo.MIMO2, "block_count": 3, "embedding_length": 144, "feed_forward_length": 200,
    "expert_feed_forward_length": 136, "attention.head_count_kv": [2, 4, 2],
    "attention.sliding_window_pattern": [0, 1, 0], "expert_count": 4, "expert_used_count": 2,
    "attention.value_scale": 0.707, "expert_weights_scale": 1.0,
}


def quantise(values):
    """Codes in E4M3, and a scale for each 128 rows and columns."""
    rows, columns = values.shape
    scales = np.zeros((-(-rows // 128), -(-columns // 128)), np.float32)
    codes = torch.zeros(values.shape, dtype=torch.float8_e4m3fn)
    for i in range(scales.shape[0]):
        for j in range(scales.shape[1]):
            part = np.s_[i * 128:(i + 1) * 128, j * 128:(j + 1) * 128]
            scales[i, j] = abs(values[part]).max() / 448
            codes[part] = torch.from_numpy(values[part] / scales[i, j]).to(torch.float8_e4m3fn)
    wide = np.repeat(np.repeat(scales, 128, 0), 128, 1)[:rows, :columns]
    return codes, scales, codes.to(torch.float32).numpy() * wide


@torch.no_grad()
def fp8(directory, name, vocabulary=157):
    rng, meta = np.random.default_rng(41), MIMO_FP8
    values, stored = {}, {}
    for ours, shape in mimo.shapes("mimo2", meta, vocabulary):
        tensor = mimo.random_tensor(rng, ours, shape).astype(np.float32)
        packed = len(shape) > 1 and not any(part in ours for part in (
            "token_embd", "output", "ffn_gate_inp"))
        if packed:
            parts = [quantise(part) for part in (tensor if len(shape) == 3 else [tensor])]
            stored[ours] = [part[:2] for part in parts]
            tensor = np.stack([part[2] for part in parts]).reshape(shape)
        else:
            tensor = torch.from_numpy(tensor).to(torch.bfloat16).to(torch.float32).numpy()
        values[ours] = tensor
    model = huggingface.load("mimo2", meta, values.__getitem__, vocabulary, False)
    tokens = decisive_tokens(rng, model, vocabulary, meta["expert_used_count"], 0.02, 130)
    logits = model(torch.from_numpy(tokens)[None], use_cache=False).logits[0]
    state = {"golden.tokens": torch.from_numpy(tokens.astype(np.int32)), "golden.logits": logits}

    def put(theirs, ours):
        if ours not in stored:
            state[theirs] = torch.from_numpy(values[ours]).to(torch.bfloat16)
            return
        for e, (codes, scales) in enumerate(stored[ours]):
            one = theirs.replace("#", str(e))
            state[one] = codes
            state[one + "_scale_inv"] = torch.from_numpy(scales)

    put("model.embed_tokens.weight", "token_embd.weight")
    put("model.norm.weight", "output_norm.weight")
    put("lm_head.weight", "output.weight")
    bare = {"attn_sinks.weight": "self_attn.attention_sink_bias",
            "exp_probs_b.bias": "mlp.gate.e_score_correction_bias"}
    for n in range(meta["block_count"]):
        for ours, _ in mimo.layer_shapes(meta, n):
            if "_exps" in ours:
                part = ours.split("_")[1]
                theirs = f"mlp.experts.#.{part}_proj.weight"
            else:
                theirs = bare.get(ours) or mimo.LAYER[ours.removesuffix(".weight")] + ".weight"
            put(f"model.layers.{n}.{theirs}", f"blk.{n}.{ours}")
    # What comes behind the last layer, and is left out.
    state["model.mtp.layers.0.enorm.weight"] = torch.ones(meta["embedding_length"])
    kv = meta["attention.head_count_kv"]
    config = {  # the keys of the published file
        "architectures": ["MiMoV2FlashForCausalLM"], "model_type": "mimo_v2_flash",
        "hidden_size": meta["embedding_length"], "intermediate_size": meta["feed_forward_length"],
        "moe_intermediate_size": meta["expert_feed_forward_length"], "vocab_size": vocabulary,
        "num_hidden_layers": meta["block_count"], "max_position_embeddings": 512,
        "num_attention_heads": 8, "swa_num_attention_heads": 8, "num_key_value_heads": kv[0],
        "swa_num_key_value_heads": kv[1], "head_dim": 20, "swa_head_dim": 20, "v_head_dim": 13,
        "swa_v_head_dim": 13, "partial_rotary_factor": 0.334, "rope_scaling": None,
        "rope_theta": meta["rope.freq_base"], "swa_rope_theta": meta["rope.freq_base_swa"],
        "sliding_window": 16, "sliding_window_size": 16, "attention_chunk_size": 16,
        "hybrid_layer_pattern": meta["attention.sliding_window_pattern"],
        "moe_layer_freq": [0] + [1] * (meta["block_count"] - 1), "layernorm_epsilon": 1e-05,
        "attention_value_scale": 0.707, "n_routed_experts": meta["expert_count"],
        "num_experts_per_tok": meta["expert_used_count"], "scoring_func": "sigmoid",
        "topk_method": "noaux_tc", "n_group": 1, "topk_group": 1, "norm_topk_prob": True,
        "routed_scaling_factor": None, "n_shared_experts": None, "hidden_act": "silu",
        "attention_bias": False, "add_swa_attention_sink_bias": True,
        "add_full_attention_sink_bias": False, "tie_word_embeddings": False,
        "quantization_config": {"quant_method": "fp8", "fmt": "e4m3",
                                "activation_scheme": "dynamic", "weight_block_size": [128, 128]}}
    write(f"{directory}/{name}", config, state)


def write(path, config, state):
    os.makedirs(path, exist_ok=True)
    with open(path + "/config.json", "w") as out:
        json.dump(config, out, indent=2)
    save_file({name: value.contiguous() for name, value in state.items()},
              path + "/model.safetensors", metadata={"format": "pt"})


if __name__ == "__main__":
    special = {"gpt_oss_mxfp4": mxfp4, "mimo2_fp8": fp8}
    for name in sys.argv[2:] or (*TWINS, *special):
        special.get(name, twin)(sys.argv[1], name)
