"""Makes whole.json: PyTorch's gradients and AdamW steps where a whole pico model is trained on text alone.

Llama's head is its own, Gemma's is the embedding, whose output is scaled.

Run with torch and transformers installed: python make-whole.py
"""

import json
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy
from transformers import AutoConfig, AutoModelForCausalLM
from waves import packed

CHECKPOINTS = Path(__file__).parents[2] / "fixtures" / "checkpoints"
BATCH, LENGTH = 2, 24
RATES = [0.004, 0.002, 0.001]


def sample(gradient):
    """Every fifth number, and the length of all."""
    return {"every5": packed(gradient.flatten()[::5]), "norm": gradient.norm().item()}


def golden(family):
    folder = CHECKPOINTS / family
    config = AutoConfig.from_pretrained(folder)
    config._attn_implementation = "eager"
    model = AutoModelForCausalLM.from_pretrained(folder, config=config, dtype=torch.float32).double().eval()
    parameters = list(model.parameters())
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in parameters if p.ndim == 2], "weight_decay": 0.1},
            {"params": [p for p in parameters if p.ndim == 1], "weight_decay": 0.0},
        ],
        betas=(0.9, 0.95),
        eps=1e-8,
    )
    stream = (torch.arange(BATCH * LENGTH + 1) * 37 + 11) % config.vocab_size
    tokens, targets = stream[:-1].reshape(-1, LENGTH), stream[1:].reshape(-1, LENGTH)
    gradients, steps = None, []
    for rate in RATES:
        optimizer.zero_grad()
        loss = cross_entropy(model(tokens, use_cache=False).logits.flatten(0, 1), targets.flatten())
        loss.backward()
        if gradients is None:
            gradients = {"embedding": sample(model.model.embed_tokens.weight.grad)}
            if not config.tie_word_embeddings:
                gradients["head"] = sample(model.lm_head.weight.grad)
        norm = torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        steps.append({"learningRate": rate, "crossEntropy": loss.item(), "gradientNorm": norm.item()})
    return {
        "family": family,
        "tokens": tokens.flatten().tolist(),
        "targets": targets.flatten().tolist(),
        "gradients": gradients,
        "steps": steps,
    }


cases = [golden(family) for family in ["llama", "gemma3"]]
(Path(__file__).parent / "whole.json").write_text(json.dumps({"cases": cases}) + "\n")
