"""Makes loss.json: PyTorch's losses and gradients, in float64, for the inputs of tiled-loss.test.ts.

Run with torch installed: python make-loss.py
"""

import json
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy, kl_div, log_softmax, rms_norm
from waves import packed, waves

TOKENS, WIDTH, VOCABULARY, EPSILON = 40, 8, 300, 1e-5
UNCOUNTED = [3, 17, 18, 39]

targets = (torch.arange(TOKENS) * 131 + 7) % VOCABULARY
targets[UNCOUNTED] = -1


def golden(cross, divergence):
    hidden = waves([TOKENS, WIDTH], 1, scale=2).requires_grad_()
    norm = waves([WIDTH], 2, scale=0.5, mean=1).requires_grad_()
    head = waves([VOCABULARY, WIDTH], 3).requires_grad_()
    teacher_hidden = waves([TOKENS, WIDTH], 4, scale=2)
    teacher_norm = waves([WIDTH], 5, scale=0.5, mean=1)
    teacher_head = waves([VOCABULARY, WIDTH], 6)

    logits = rms_norm(hidden, [WIDTH], norm, EPSILON) @ head.T
    teacher_logits = rms_norm(teacher_hidden, [WIDTH], teacher_norm, EPSILON) @ teacher_head.T
    counted = targets >= 0
    ce = cross_entropy(logits, targets, ignore_index=-1)
    kl = kl_div(
        log_softmax(logits, -1)[counted],
        log_softmax(teacher_logits, -1)[counted],
        reduction="batchmean",
        log_target=True,
    )
    (cross * ce + divergence * kl).backward()
    return {
        "weights": {"crossEntropy": cross, "divergence": divergence},
        "crossEntropy": ce.item(),
        "divergence": kl.item(),
        "hidden": packed(hidden.grad),
        "norm": packed(norm.grad),
        "head": packed(head.grad),
    }


cases = [golden(1.0, 0.0), golden(0.0, 1.0), golden(0.3, 1.7)]
path = Path(__file__).parent / "loss.json"
path.write_text(json.dumps({"targets": targets.tolist(), "cases": cases}) + "\n")
