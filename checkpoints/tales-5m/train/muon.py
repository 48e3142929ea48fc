"""Muon: momentum whose update is orthogonalised, for the 2-D block matrices.

See Jordan et al., "Muon: An optimizer for hidden layers in neural networks"
(2024). Matrices of one shape are stacked and go through the Newton-Schulz
iteration together.
"""

from collections import defaultdict

import torch


def orthogonalise(g, steps=5):
    """Nearest semi-orthogonal matrix, roughly, for a stack of matrices."""
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = g.shape[1] > g.shape[2]
    x = g.transpose(1, 2) if tall else g
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(steps):
        s = x @ x.transpose(1, 2)
        x = a * x + (b * s + c * s @ s) @ x
    return x.transpose(1, 2) if tall else x


class Muon(torch.optim.Optimizer):
    def __init__(self, params, lr, momentum=0.95, weight_decay=0.0):
        super().__init__(params, dict(lr=lr, momentum=momentum, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            lr, mu = group["lr"], group["momentum"]
            by_shape = defaultdict(list)
            for p in group["params"]:
                if p.grad is not None:  # blocks outside this step's plan rest
                    by_shape[p.shape].append(p)
            for (rows, cols), params in by_shape.items():
                updates = []
                for p in params:
                    state = self.state[p]
                    if not state:
                        state["momentum"] = torch.zeros_like(p)
                    state["momentum"].lerp_(p.grad, 1 - mu)
                    updates.append(p.grad.lerp(state["momentum"], mu))  # Nesterov
                updates = orthogonalise(torch.stack(updates))
                scale = max(1.0, rows / cols) ** 0.5
                for p, update in zip(params, updates):
                    p.mul_(1 - lr * group["weight_decay"])
                    p.add_(update, alpha=-lr * scale)
