"""A step's work, shared between single-threaded processes.

It is cut into small batches that the processes take from a common counter, so
a core that is busy with something else only takes fewer of them. The first
process is the one that trains; the others are its helpers.
"""

import torch
import torch.multiprocessing as mp


class Workers:
    """Starts the helpers and leads them through the steps."""

    def __init__(self, model, tokens_per_step, count, compiled):
        context = mp.get_context("spawn")
        self.shared = Shared(model, tokens_per_step, count, context)
        for rank in range(1, count):
            context.Process(target=helper, args=(self.shared, rank, compiled), daemon=True).start()

    def gradients(self, ids, targets, length, rows, plan):
        """The mean loss of one step's tokens, in sequences of `length` and
        `rows` of them at once. Its gradients are in the parameters' .grad."""
        shared = self.shared
        shared.ids[0], shared.ids[1] = ids, targets
        shared.header[:] = torch.tensor([length, rows, len(plan), 0])
        shared.plan[: len(plan)] = torch.tensor(plan)
        shared.taken.value = 0
        shared.start.wait()
        run_share(shared, 0)
        shared.end.wait()
        collect(shared)
        return shared.losses.sum().item()

    def stop(self):
        self.shared.header[3] = 1
        self.shared.start.wait()


class Shared:
    """What the processes share during a step: weights, batch, plan, gradients."""

    def __init__(self, model, tokens_per_step, workers, context):
        self.model = model.share_memory()
        self.params = [p for _, p in model.named_parameters()]
        size = sum(p.numel() for p in self.params)
        self.gradients = [torch.zeros(size).share_memory_() for _ in range(workers - 1)]
        self.used = [torch.zeros(len(self.params), dtype=torch.bool).share_memory_() for _ in range(workers - 1)]
        self.losses = torch.zeros(workers).share_memory_()
        self.ids = torch.zeros(2, tokens_per_step, dtype=torch.int64).share_memory_()
        self.plan = torch.zeros(model.layers, 2, dtype=torch.int64).share_memory_()
        self.header = torch.zeros(4, dtype=torch.int64).share_memory_()  # length, rows a time, layers in plan, stop
        self.taken = context.Value("i", 0)
        self.start = context.Barrier(workers)
        self.end = context.Barrier(workers)


def run_share(shared, rank):
    """Take small batches until none is left; gradients pile up in .grad."""
    length, rows, depth, _ = shared.header.tolist()
    plan = [tuple(pair) for pair in shared.plan[:depth].tolist()]
    ids = shared.ids[0].view(-1, rows, length)
    targets = shared.ids[1].view(-1, rows, length)
    total = 0.0
    while True:
        with shared.taken.get_lock():
            i = shared.taken.value
            shared.taken.value += 1
        if i >= len(ids):
            break
        loss = shared.model.loss(ids[i], targets[i], plan) / len(ids)
        loss.backward()
        total += loss.item()
    shared.losses[rank] = total


def helper(shared, rank, compiled):
    """The loop of every process but the first."""
    torch.set_num_threads(1)
    if compiled:
        shared.model.compile()
    params = [p for _, p in shared.model.named_parameters()]
    flat, used = shared.gradients[rank - 1], shared.used[rank - 1]
    while True:
        shared.start.wait()
        if shared.header[3]:
            return
        run_share(shared, rank)
        at = 0
        for i, p in enumerate(params):
            used[i] = p.grad is not None
            if p.grad is not None:
                flat[at : at + p.numel()] = p.grad.flatten()
                p.grad = None
            at += p.numel()
        shared.end.wait()


def collect(shared):
    """Add the other processes' gradients to this one's."""
    for flat, used in zip(shared.gradients, shared.used):
        at = 0
        for p, here in zip(shared.params, used.tolist()):
            if here:
                part = flat[at : at + p.numel()].view_as(p)
                p.grad = part.clone() if p.grad is None else p.grad.add_(part)
            at += p.numel()
