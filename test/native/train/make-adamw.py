"""Makes adamw.json: ten steps of torch.optim.AdamW with clip_grad_norm_, for the inputs of adamw.test.ts.

Run with torch installed: python make-adamw.py
"""

import json
from pathlib import Path

import torch
from waves import packed, waves

RATE, CLIP = 0.03, 1.5


def golden(betas, decay, vector_rate, epsilon):
    matrix = waves([40, 30], 1).requires_grad_()
    vector = waves([50], 2, scale=0.5, mean=1).requires_grad_()
    optimizer = torch.optim.AdamW(
        [
            {"params": [matrix], "lr": RATE, "weight_decay": decay},
            {"params": [vector], "lr": RATE * vector_rate, "weight_decay": 0.0},
        ],
        betas=betas,
        eps=epsilon,
    )
    norms = []
    for step in range(10):
        # Longer than the clip at first, then shorter.
        scale = 0.2 / (1 + step)
        matrix.grad = waves([40, 30], 10 + step, scale)
        vector.grad = waves([50], 30 + step, scale)
        norms.append(torch.nn.utils.clip_grad_norm_([matrix, vector], CLIP).item())
        for group, rate in zip(optimizer.param_groups, [RATE, RATE * vector_rate]):
            group["lr"] = rate / (1 + step % 3)
        optimizer.step()
    return {
        "options": {"betas": betas, "weightDecay": decay, "vectorRate": vector_rate, "epsilon": epsilon},
        "norms": norms,
        "matrix": packed(matrix),
        "vector": packed(vector),
    }


cases = [golden([0.9, 0.95], 0.1, 3.0, 1e-8), golden([0.8, 0.999], 0.0, 1.0, 1e-3)]
(Path(__file__).parent / "adamw.json").write_text(json.dumps(cases) + "\n")
