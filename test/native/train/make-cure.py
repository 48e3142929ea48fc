"""Makes cure.json: PyTorch's losses, gradients and AdamW steps of a folded pico model, for cure.test.ts.

The student has the checkpoint's layers 0, 1 and 2, of which 1 and 2 share a block (that of 1) and keep norms
of their own; a linear patch follows layer 1. The last two layers are drawn to the teacher's states.

Run with torch and transformers installed: python make-cure.py
"""

import copy
import json
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy, kl_div, log_softmax
from transformers import AutoModelForCausalLM
from waves import packed, waves

CHECKPOINTS = Path(__file__).parents[2] / "fixtures" / "checkpoints"
BATCHES, BATCH, LENGTH = 2, 2, 24
WEIGHTS = {"crossEntropy": 0.4, "divergence": 0.8, "tailWeight": 0.6}
TAIL = [1, 2]
RATES = [0.004, 0.002, 0.001]


class Patched(torch.nn.Module):
    """A layer with a linear patch behind it. Keeps its own output, which the tail loss compares."""

    def __init__(self, layer, patch):
        super().__init__()
        self.layer, self.patch, self.out = layer, patch, None

    def forward(self, *args, **kwargs):
        out = self.layer(*args, **kwargs)
        self.out = out[0] if isinstance(out, tuple) else out
        return self.out + self.patch(self.out) if self.patch else self.out


def student_of(teacher):
    student = copy.deepcopy(teacher)
    layers = student.model.layers
    for module in ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp"]:
        *path, name = module.split(".")
        first, second = layers[1], layers[2]
        for step in path:
            first, second = getattr(first, step), getattr(second, step)
        setattr(second, name, getattr(first, name))
    width = student.config.hidden_size
    patch = torch.nn.Linear(width, width)
    patch.weight.data = waves([width, width], 1, 0.05)
    patch.bias.data = waves([width], 2, 0.05)
    for i in range(3):
        layers[i] = Patched(layers[i], patch if i == 1 else None)
    student.model.embed_tokens.weight.requires_grad_(False)
    student.lm_head.weight.requires_grad_(False)
    return student.double()


def trained(student):
    layers, found = student.model.layers, {}
    for block in [0, 1]:
        layer = layers[block].layer
        attention = layer.self_attn
        qkv = [attention.q_proj, attention.k_proj, attention.v_proj]
        found[f"blocks.{block}.qkv"] = [part.weight for part in qkv]
        if qkv[0].bias is not None:
            found[f"blocks.{block}.qkv.bias"] = [part.bias for part in qkv]
        found[f"blocks.{block}.output"] = [attention.o_proj.weight]
        for name in ["gate", "up", "down"]:
            found[f"blocks.{block}.{name}"] = [getattr(layer.mlp, f"{name}_proj").weight]
    found["patches.1.weight"] = [layers[1].patch.weight]
    found["patches.1.bias"] = [layers[1].patch.bias]
    for i in range(3):
        found[f"layers.{i}.attention.norm"] = [layers[i].layer.input_layernorm.weight]
        found[f"layers.{i}.mlp.norm"] = [layers[i].layer.post_attention_layernorm.weight]
    found["norm"] = [student.model.norm.weight]
    return found


def losses(teacher, student, tokens, targets):
    with torch.no_grad():
        wanted = []
        hooks = [
            teacher.model.layers[i].register_forward_hook(
                lambda _, __, out: wanted.append(out[0] if isinstance(out, tuple) else out)
            )
            for i in TAIL
        ]
        teacher_logits = teacher(tokens, use_cache=False).logits
        for hook in hooks:
            hook.remove()
    logits = student(tokens, use_cache=False).logits
    ce = cross_entropy(logits.flatten(0, 1), targets.flatten())
    kl = kl_div(
        log_softmax(logits, -1).flatten(0, 1),
        log_softmax(teacher_logits, -1).flatten(0, 1),
        reduction="batchmean",
        log_target=True,
    )
    tail = torch.stack(
        [
            ((student.model.layers[i].out - state).square().sum(-1) / state.square().sum(-1)).mean()
            for i, state in zip(TAIL, wanted)
        ]
    ).mean()
    return ce, kl, tail


def sample(gradient):
    """Every fifth number, and the length of all."""
    return {"every5": packed(gradient[::5]), "norm": gradient.norm().item()}


def golden(family):
    teacher = AutoModelForCausalLM.from_pretrained(CHECKPOINTS / family, dtype=torch.float32).double().eval()
    student = student_of(teacher)
    parameters = trained(student)
    decaying = [p for group in parameters.values() for p in group if p.ndim == 2]
    others = [p for group in parameters.values() for p in group if p.ndim == 1]
    optimizer = torch.optim.AdamW(
        [{"params": decaying, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}],
        betas=(0.9, 0.95),
        eps=1e-8,
    )
    count = BATCHES * BATCH * LENGTH
    steps = []
    for rate in RATES:
        stream = (torch.arange(count + 1) * 37 + 11) % teacher.config.vocab_size
        tokens, targets = stream[:-1].reshape(-1, LENGTH), stream[1:].reshape(-1, LENGTH)
        ce, kl, tail = losses(teacher, student, tokens, targets)
        optimizer.zero_grad()
        total = WEIGHTS["crossEntropy"] * ce + WEIGHTS["divergence"] * kl + WEIGHTS["tailWeight"] * tail
        total.backward()
        if not steps:
            gradients = {name: sample(torch.cat([p.grad.flatten() for p in group])) for name, group in parameters.items()}
        norm = torch.nn.utils.clip_grad_norm_(decaying + others, 1.0)
        for group in optimizer.param_groups:
            group["lr"] = rate * (2.0 if group["weight_decay"] == 0 else 1.0)
        optimizer.step()
        steps.append(
            {
                "tokens": tokens.flatten().tolist(),
                "targets": targets.flatten().tolist(),
                "learningRate": rate,
                "crossEntropy": ce.item(),
                "divergence": kl.item(),
                "tail": tail.item(),
                "gradientNorm": norm.item(),
            }
        )
    return {"family": family, "gradients": gradients, "steps": steps}


cases = [golden(family) for family in ["llama", "qwen2"]]
(Path(__file__).parent / "cure.json").write_text(json.dumps({"weights": WEIGHTS, "cases": cases}) + "\n")
