"""Train the model so that it can be folded without being trained again.

    python train.py --data ../shared/data --minutes 100 --work /tmp/tales

Most steps run with neighbouring layers tied in pairs (the first block of each
pair stands in for the second), the others with the full model, with groups of
three, or with a few inner layers left out. During the first part of the run
there are only the even blocks; then the odd ones start as copies and get
weights of their own.

Early on most of the second layers of the pairs are skipped, which makes steps
cheaper; they come in one by one.

The work of a step is cut into small batches that several single-threaded
processes take from a common counter, so a core that is busy with something
else only takes fewer of them.

The schedule follows the clock. Every step moves `progress` on by its share of
the time that is left until the deadline, so learning rates always reach zero
there, however fast the machine turns out to be. A step during which the
process was stopped counts as a few ordinary ones at most.
"""

import argparse
import json
import os
import random
import shutil
import statistics
import time
from collections import deque
from pathlib import Path

import numpy as np
import torch
import torch.multiprocessing as mp
import torch.nn.functional as F
from safetensors.torch import save_file
from tokenizers import Tokenizer

from data import heldout_documents, token_stream, training_stories
from model import MATRICES, FoldableLlama, full_plan, hf_config, share_plan, to_hf_tensors
from muon import Muon

HERE = Path(__file__).resolve().parent


def choose_plan(layers, progress, settings, rng):
    """This step's plan and its name."""
    tied = progress < settings["training"]["untie_from"]
    table = settings["plans_tied" if tied else "plans_untied"]
    name = rng.choices(list(table), list(table.values()))[0]
    inner = range(1, layers - 1)
    if name.endswith("_drop"):
        if rng.random() < 0.4:  # one whole pair, so that the other pairs stay
            first = 2 * rng.randrange(1, layers // 2 - 1)
            dropped = {first, first + 1}
        else:
            dropped = set(rng.sample(inner, rng.randint(1, 3)))
    else:
        dropped = set()
    if name.startswith("full"):
        plan = share_plan(layers, 1, dropped)
    else:
        plan = share_plan(layers, 3 if name.startswith("share3") else 2, dropped)
    t = settings["training"]
    keep = t["early_depth"] + (1 - t["early_depth"]) * progress / t["full_depth_from"]
    if name == "share2" and keep < 1:  # skip second layers of pairs, fewer and fewer
        plan = [(layer, block) for layer, block in plan if layer == block or rng.random() < keep]
    if tied:  # the odd blocks do not exist yet
        plan = [(layer, block - block % 2) for layer, block in plan]
    return name, plan


def rate(progress, t):
    """Learning rate as a part of its peak: warm-up, flat, linear to zero."""
    if progress < t["warmup_until"]:
        return max(0.02, progress / t["warmup_until"])
    return min(1.0, (1 - progress) / (1 - t["decay_from"]))


def heldout_loss(model, documents, plan):
    """Mean loss in nats per token over documents (lists of ids that begin
    with <|endoftext|>), each cut to the context length."""
    total = count = 0
    length = model.config["max_position_embeddings"]
    for ids in documents:
        ids = torch.tensor([ids[: length + 1]])
        logits = model.logits(ids[:, :-1], plan)
        total += F.cross_entropy(logits[0], ids[0, 1:], reduction="sum").item()
        count += ids.shape[1] - 1
    return total / count


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


def export(model, settings, out, metrics_path, tied):
    """Write the Hugging Face folder; each file appears whole or not at all."""
    out.mkdir(parents=True, exist_ok=True)
    if tied:
        for i in range(0, model.layers, 2):
            model.copy_block(i, i + 1)

    def put(name, write):
        temporary = out / (name + ".tmp")
        temporary.parent.mkdir(parents=True, exist_ok=True)
        write(temporary)
        temporary.chmod(0o644)
        os.replace(temporary, out / name)

    put("model.safetensors", lambda p: save_file(to_hf_tensors(model), p, metadata={"format": "pt"}))
    put("config.json", lambda p: p.write_text(json.dumps(hf_config(settings["model"]), indent=2) + "\n"))
    generation = {"_from_model_config": True, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
    put("generation_config.json", lambda p: p.write_text(json.dumps(generation, indent=2) + "\n"))
    if metrics_path.exists():
        put("train/metrics.jsonl", lambda p: shutil.copyfile(metrics_path, p))


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--data", default="../shared/data", help="folder with stories-more and tinystories")
    ap.add_argument("--out", default=str(HERE.parent), help="the Hugging Face folder; holds tokenizer.json already")
    ap.add_argument("--work", required=True, help="folder for the resumable state")
    ap.add_argument("--minutes", type=float, default=100)
    ap.add_argument("--heldout-bytes", type=int, default=200_000)
    ap.add_argument("--workers", type=int, default=2, help="processes, one thread each")
    ap.add_argument("--max-steps", type=int, default=0, help="stop early, for a trial")
    ap.add_argument("--no-compile", action="store_true")
    ap.add_argument("--resume", action="store_true")
    args = ap.parse_args()

    deadline = time.monotonic() + args.minutes * 60
    torch.set_num_threads(1)
    settings = json.loads((HERE / "config.json").read_text())
    t = settings["training"]
    out, work = Path(args.out), Path(args.work)
    work.mkdir(parents=True, exist_ok=True)
    state_path, metrics_path = work / "state.pt", work / "metrics.jsonl"

    tok = Tokenizer.from_file(str(out / "tokenizer.json"))
    stories = training_stories(args.data)
    encoded = [np.array(e.ids, dtype=np.int64) for e in tok.encode_batch(stories)]
    documents = [e.ids for e in tok.encode_batch(heldout_documents(args.data, args.heldout_bytes))]
    probe = documents[:40]  # the part looked at while training
    corpus = sum(len(e) for e in encoded)
    print(f"{len(stories)} stories, {corpus} tokens; {len(documents)} held-out documents", flush=True)

    torch.manual_seed(t["seed"])
    model = FoldableLlama(settings["model"])
    matrices = [b[m] for b in model.blocks for m in MATRICES]
    norms = [p for b in model.blocks for n, p in b.items() if n.startswith("norm")] + [model.norm]
    muon = Muon(matrices, lr=t["muon_lr"], momentum=t["muon_momentum"], weight_decay=t["muon_weight_decay"])
    adam = torch.optim.Adam(
        [model.embedding, *norms], lr=t["adam_lr"], betas=tuple(t["adam_betas"]), eps=t["adam_eps"]
    )
    progress, step, tokens, passes = 0.0, 0, 0, 0
    untied = False
    if args.resume and state_path.exists():
        state = torch.load(state_path, weights_only=False)
        model.load_state_dict(state["model"])
        muon.load_state_dict(state["muon"])
        adam.load_state_dict(state["adam"])
        progress, step, tokens, untied = (state[k] for k in ("progress", "step", "tokens", "untied"))
        passes = state["passes"] + 1
        print(f"resumed at step {step}, progress {progress:.3f}", flush=True)
    elif metrics_path.exists():
        metrics_path.unlink()
    context = mp.get_context("spawn")
    shared = Shared(model, t["tokens_per_step"], args.workers, context)
    for rank in range(1, args.workers):
        context.Process(target=helper, args=(shared, rank, not args.no_compile), daemon=True).start()
    if not args.no_compile:
        model.compile()

    rng = random.Random(t["seed"] + passes)
    stream = token_stream(encoded, random.Random(t["seed"] + 1000 + passes))
    buffer = np.zeros(0, dtype=np.int64)

    def next_batch():
        nonlocal buffer
        need = t["tokens_per_step"] + 1
        parts, have = [buffer], len(buffer)
        while have < need:
            parts.append(next(stream))
            have += len(parts[-1])
        buffer = np.concatenate(parts)
        shared.ids[0] = torch.from_numpy(buffer[: need - 1])
        shared.ids[1] = torch.from_numpy(buffer[1:need])
        buffer = buffer[need - 1 :].copy()

    def save_state():
        torch.save(
            dict(
                model=model.state_dict(), muon=muon.state_dict(), adam=adam.state_dict(),
                progress=progress, step=step, tokens=tokens, untied=untied, passes=passes,
            ),
            state_path.with_suffix(".tmp"),
        )
        os.replace(state_path.with_suffix(".tmp"), state_path)

    layers = model.layers
    durations = deque(maxlen=50)
    smooth, since = {}, deque(maxlen=100)
    last = time.monotonic()
    last_save, last_export, last_probe = last, last - 600, last  # first export after ~5 minutes

    while progress < 1 and not (args.max_steps and step >= args.max_steps):
        # Crossing this point, the odd blocks start as copies of the even ones.
        if not untied and progress >= t["untie_from"]:
            for i in range(0, layers, 2):
                model.copy_block(i, i + 1)
                for m in MATRICES:
                    seen = muon.state[model.blocks[i][m]]
                    muon.state[model.blocks[i + 1][m]] = {"momentum": seen["momentum"].clone()}
            untied = True

        name, plan = choose_plan(layers, progress, settings, rng)
        length = t["sequence_length_late" if progress >= t["late_from"] else "sequence_length_early"]
        next_batch()
        shared.header[:] = torch.tensor([length, t["tokens_at_once"] // length, len(plan), 0])
        shared.plan[: len(plan)] = torch.tensor(plan)
        shared.taken.value = 0
        shared.start.wait()
        run_share(shared, 0)
        shared.end.wait()
        collect(shared)
        value = shared.losses.sum().item()
        torch.nn.utils.clip_grad_norm_([model.embedding, *norms], t["grad_clip"])
        scale = rate(progress, t)
        muon.param_groups[0]["lr"] = t["muon_lr"] * scale
        adam.param_groups[0]["lr"] = t["adam_lr"] * scale
        muon.step()
        adam.step()
        muon.zero_grad(set_to_none=True)
        adam.zero_grad(set_to_none=True)

        # Time: only running time moves the schedule, and it ends at the deadline.
        now = time.monotonic()
        took = now - last
        last = now
        active = min(took, 5 * statistics.median(durations)) if len(durations) >= 10 else 0.0
        durations.append(took)
        remaining = deadline - now
        progress = 1.0 if remaining <= active else min(1.0, progress + (1 - progress) * active / (remaining + active))
        step += 1
        tokens += t["tokens_per_step"]
        since.append((now, tokens))
        smooth[name] = value if name not in smooth else 0.95 * smooth[name] + 0.05 * value

        record = None
        if step % 25 == 0 or step <= 3:
            speed = 0 if len(since) < 2 else (since[-1][1] - since[0][1]) / (since[-1][0] - since[0][0])
            record = dict(
                step=step, progress=round(progress, 4), tokens=tokens, tokens_per_second=round(speed),
                rate=round(scale, 4), train={k: round(v, 4) for k, v in sorted(smooth.items())},
            )
        if now - last_probe > 180 or progress >= 1:
            last_probe = now
            probes = {"share2": share_plan(layers, 2)}
            if untied:
                probes["full"] = full_plan(layers)
                probes["share3"] = share_plan(layers, 3)
            record = record or dict(step=step, progress=round(progress, 4), tokens=tokens)
            record["heldout"] = {k: round(heldout_loss(model, probe, p), 4) for k, p in probes.items()}
        if record:
            print(json.dumps(record), flush=True)
            if step % 100 == 0 or step == 1 or "heldout" in record:
                with metrics_path.open("a") as f:
                    f.write(json.dumps(record) + "\n")
        if now - last_save > 300 or progress >= 1:
            last_save = now
            save_state()
        if now - last_export > 900 or progress >= 1:
            last_export = now
            export(model, settings, out, metrics_path, tied=not untied)

    shared.header[3] = 1
    shared.start.wait()
    if args.max_steps == 0:
        print(f"done: {step} steps, {tokens} tokens, {tokens / corpus:.2f} passes", flush=True)


if __name__ == "__main__":
    main()
