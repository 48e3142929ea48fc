"""Train the model so that it can be folded without being trained again.

    python train.py --data ../shared/data --minutes 100 --work /tmp/tales

Most steps run with neighbouring layers tied in pairs (the first block of each
pair stands in for the second), the others with the full model, with groups of
three, or with a few inner layers left out. During the first part of the run
there are only the even blocks; then the odd ones start as copies and get
weights of their own.

Early on most of the second layers of the pairs are skipped, which makes steps
cheaper; they come in one by one.

The schedule follows the clock. Every step moves `progress` on by its share of
the time that is left until the deadline, so learning rates always reach zero
there, however fast the machine turns out to be. A step during which the
process was stopped counts as a few ordinary ones at most.
"""

import argparse
import json
import os
import random
import statistics
import time
from collections import deque
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer

from data import heldout_documents, token_batches, training_stories
from export import export
from model import MATRICES, FoldableLlama, full_plan, load_hf_folder, share_plan
from muon import Muon
from parallel import Workers
from schedule import choose_plan, rate

HERE = Path(__file__).resolve().parent


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
    ap.add_argument("--from-model", help="a finished folder to train further, with its own blocks from the first step")
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
    elif args.from_model:
        model.load_state_dict(load_hf_folder(args.from_model).state_dict())
        progress, untied = t["untie_from"], True
        print(f"starts from {args.from_model} at progress {progress}", flush=True)
    elif metrics_path.exists():
        metrics_path.unlink()
    workers = Workers(model, t["tokens_per_step"], args.workers, compiled=not args.no_compile)
    if not args.no_compile:
        model.compile()

    rng = random.Random(t["seed"] + passes)
    batches = token_batches(encoded, t["tokens_per_step"], random.Random(t["seed"] + 1000 + passes))

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
        ids, targets = (torch.from_numpy(part) for part in next(batches))
        value = workers.gradients(ids, targets, length, t["tokens_at_once"] // length, plan)
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

    workers.stop()
    if args.max_steps == 0:
        print(f"done: {step} steps, {tokens} tokens, {tokens / corpus:.2f} passes", flush=True)


if __name__ == "__main__":
    main()
