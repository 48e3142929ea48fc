"""A small Llama whose layers can be run folded while it trains.

A *plan* says which layers run and with whose weights: a list of pairs
(layer, block), one for each layer that runs. The norm weights come from
`layer`, the seven matrices from `block`. The full model is
[(0, 0), (1, 1), ...]; with neighbours sharing in pairs it is
[(0, 0), (1, 0), (2, 2), (3, 2), ...].
"""

import json
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

MATRICES = ("q", "k", "v", "o", "gate", "up", "down")
HF_NAMES = {
    "norm1": "input_layernorm",
    "norm2": "post_attention_layernorm",
    "q": "self_attn.q_proj",
    "k": "self_attn.k_proj",
    "v": "self_attn.v_proj",
    "o": "self_attn.o_proj",
    "gate": "mlp.gate_proj",
    "up": "mlp.up_proj",
    "down": "mlp.down_proj",
}


def full_plan(layers):
    return [(i, i) for i in range(layers)]


def share_plan(layers, group, dropped=()):
    """Remove the layers in `dropped`, then let every `group` neighbours that
    are left run the weights of the first of them."""
    kept = [i for i in range(layers) if i not in dropped]
    return [(layer, kept[pos - pos % group]) for pos, layer in enumerate(kept)]


def rms_norm(x, weight, eps):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * weight


def rotate(x, cos, sin):
    a, b = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-b, a), dim=-1) * sin


def block_forward(x, cos, sin, norm1, norm2, q, k, v, o, gate, up, down, heads, kv_heads, eps):
    """One layer as a pure function of its weights, so that one compiled graph
    serves every layer and every plan."""
    batch, length, width = x.shape
    dim = q.shape[0] // heads
    h = rms_norm(x, norm1, eps)
    qkv = F.linear(h, torch.cat((q, k, v)))
    qh, kh, vh = qkv.split((heads * dim, kv_heads * dim, kv_heads * dim), dim=-1)
    qh = rotate(qh.view(batch, length, heads, dim).transpose(1, 2), cos, sin)
    kh = rotate(kh.view(batch, length, kv_heads, dim).transpose(1, 2), cos, sin)
    vh = vh.view(batch, length, kv_heads, dim).transpose(1, 2)
    kh = kh.repeat_interleave(heads // kv_heads, dim=1)
    vh = vh.repeat_interleave(heads // kv_heads, dim=1)
    att = F.scaled_dot_product_attention(qh, kh, vh, is_causal=True)
    x = x + F.linear(att.transpose(1, 2).reshape(batch, length, heads * dim), o)
    h = rms_norm(x, norm2, eps)
    g, u = F.linear(h, torch.cat((gate, up))).chunk(2, dim=-1)
    return x + F.linear(F.silu(g) * u, down)


def head_loss(x, targets, norm, embedding, eps):
    logits = F.linear(rms_norm(x, norm, eps), embedding)
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


class FoldableLlama(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        d = config["hidden_size"]
        ff = config["intermediate_size"]
        self.layers = config["num_hidden_layers"]
        self.heads = config["num_attention_heads"]
        self.kv_heads = config["num_key_value_heads"]
        self.eps = config["rms_norm_eps"]
        dim = config["head_dim"]
        shapes = {
            "q": (self.heads * dim, d),
            "k": (self.kv_heads * dim, d),
            "v": (self.kv_heads * dim, d),
            "o": (d, self.heads * dim),
            "gate": (ff, d),
            "up": (ff, d),
            "down": (d, ff),
        }
        self.embedding = nn.Parameter(torch.randn(config["vocab_size"], d) * 0.02)
        self.norm = nn.Parameter(torch.ones(d))
        self.blocks = nn.ModuleList()
        for _ in range(self.layers):
            block = nn.ParameterDict()
            for name, shape in shapes.items():
                std = 0.7 / math.sqrt(shape[1])
                if name in ("o", "down"):  # these write into the residual stream
                    std /= math.sqrt(2 * self.layers)
                block[name] = nn.Parameter(torch.randn(shape) * std)
            block["norm1"] = nn.Parameter(torch.ones(d))
            block["norm2"] = nn.Parameter(torch.ones(d))
            self.blocks.append(block)

        length = config["max_position_embeddings"]
        freq = config["rope_theta"] ** (-torch.arange(0, dim, 2).float() / dim)
        angle = torch.outer(torch.arange(length).float(), freq).repeat(1, 2)
        self.register_buffer("cos", angle.cos(), persistent=False)
        self.register_buffer("sin", angle.sin(), persistent=False)
        self.block_fn = block_forward
        self.head_fn = head_loss

    def compile(self):
        self.block_fn = torch.compile(block_forward, dynamic=False)
        self.head_fn = torch.compile(head_loss, dynamic=False)

    def hidden(self, ids, plan, block_fn=None):
        run = block_fn or self.block_fn
        length = ids.shape[1]
        cos, sin = self.cos[:length], self.sin[:length]
        x = F.embedding(ids, self.embedding)
        for layer, block in plan:
            own, shared = self.blocks[layer], self.blocks[block]
            x = run(
                x, cos, sin, own["norm1"], own["norm2"], *(shared[m] for m in MATRICES),
                self.heads, self.kv_heads, self.eps,
            )
        return x

    def loss(self, ids, targets, plan):
        return self.head_fn(self.hidden(ids, plan), targets, self.norm, self.embedding, self.eps)

    @torch.no_grad()
    def logits(self, ids, plan):
        x = self.hidden(ids, plan, block_fn=block_forward)
        return F.linear(rms_norm(x, self.norm, self.eps), self.embedding)

    @torch.no_grad()
    def copy_block(self, source, target):
        for m in MATRICES:
            self.blocks[target][m].copy_(self.blocks[source][m])


# ---- the Hugging Face folder ------------------------------------------------


def to_hf_tensors(model, dtype=torch.bfloat16):
    out = {"model.embed_tokens.weight": model.embedding, "model.norm.weight": model.norm}
    for i, block in enumerate(model.blocks):
        for ours, theirs in HF_NAMES.items():
            out[f"model.layers.{i}.{theirs}.weight"] = block[ours]
    return {k: v.detach().to(dtype).contiguous() for k, v in out.items()}


def hf_config(config):
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": 0,
        "eos_token_id": 0,
        "hidden_act": "silu",
        "initializer_range": 0.02,
        "mlp_bias": False,
        **config,
        "rope_scaling": None,
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
        "use_cache": True,
    }


def load_hf_folder(folder, dtype=torch.float32):
    """Read an exported folder back into a FoldableLlama."""
    from safetensors.torch import load_file

    folder = Path(folder)
    config = json.loads((folder / "config.json").read_text())
    model = FoldableLlama(config)
    tensors = load_file(folder / "model.safetensors")
    with torch.no_grad():
        model.embedding.copy_(tensors["model.embed_tokens.weight"])
        model.norm.copy_(tensors["model.norm.weight"])
        for i, block in enumerate(model.blocks):
            for ours, theirs in HF_NAMES.items():
                block[ours].copy_(tensors[f"model.layers.{i}.{theirs}.weight"])
    return model.to(dtype)
