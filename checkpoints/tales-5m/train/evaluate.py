"""Check an exported folder and measure what folding it costs.

    python evaluate.py --data ../shared/data

Compares the logits with transformers' Llama, then measures the held-out loss
of the full model and of folded ones, and writes a few stories. Everything
runs in float32 on the stored (bfloat16-rounded) weights. Results go to
evaluation.json beside this file.
"""

import argparse
import json
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer

from data import heldout_documents
from model import full_plan, load_hf_folder, share_plan

HERE = Path(__file__).resolve().parent

GREEDY = [
    "Once upon a time, there was a little",
    "Lily and Tom went to the park. They saw a",
    "One day, a small bird",
    "The old man lived in a house by the sea.",
    '"Can I help you?" asked the',
]
SAMPLED = [
    (1, "Once upon a time"),
    (2, "Once there was a brave cat named"),
    (3, "Sara had a red ball."),
    (4, "It was a rainy day and"),
    (5, "The king wanted a"),
]


def measure(model, documents, plan):
    """Total loss in nats, and tokens scored.

    A document is <|endoftext|> and its tokens. Each token after the first is
    scored once; a document longer than the context goes on in a new piece,
    whose first input is the last token of the piece before.
    """
    length = model.config["max_position_embeddings"]
    nats = tokens = 0
    for ids in documents:
        for at in range(0, len(ids) - 1, length):
            piece = torch.tensor([ids[at : at + length + 1]])
            logits = model.logits(piece[:, :-1], plan)
            nats += F.cross_entropy(logits[0], piece[0, 1:], reduction="sum").item()
            tokens += piece.shape[1] - 1
    return nats, tokens


def least_missed(model, documents, group, how_many):
    """The inner layers whose removal costs least on `documents`, found greedily."""
    layers, dropped, costs = model.layers, (), {}
    for _ in range(how_many):
        tried = {}
        for i in range(1, layers - 1):
            if i not in dropped:
                nats, tokens = measure(model, documents, share_plan(layers, group, (*dropped, i)))
                tried[i] = nats / tokens
        best = min(tried, key=tried.get)
        costs = costs or {i: round(loss, 4) for i, loss in tried.items()}
        dropped = (*dropped, best)
    return dropped, costs


def best_neighbours(model, documents, group):
    """The two neighbouring inner layers whose removal costs least on `documents`."""
    tried = {}
    for i in range(1, model.layers - 2):
        nats, tokens = measure(model, documents, share_plan(model.layers, group, (i, i + 1)))
        tried[(i, i + 1)] = nats / tokens
    return min(tried, key=tried.get)


def write_story(model, tok, prompt, plan, temperature, seed=0, most=180, penalty=1.0):
    """`penalty` is transformers' repetition penalty (CTRL, arXiv 1909.05858)."""
    ids = tok.encode(prompt).ids
    generator = torch.Generator().manual_seed(seed)
    for _ in range(most):
        logits = model.logits(torch.tensor([ids]), plan)[0, -1]
        seen = torch.tensor(sorted(set(ids)))
        logits[seen] = torch.where(logits[seen] < 0, logits[seen] * penalty, logits[seen] / penalty)
        if temperature == 0:
            nxt = int(logits.argmax())
        else:
            nxt = int(torch.multinomial(F.softmax(logits / temperature, dim=-1), 1, generator=generator))
        if nxt == 0:
            break
        ids.append(nxt)
    return tok.decode(ids)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--data", default="../shared/data")
    ap.add_argument("--model", default=str(HERE.parent))
    ap.add_argument("--heldout-bytes", type=int, default=200_000)
    ap.add_argument("--threads", type=int, default=2)
    ap.add_argument("--out", default=str(HERE / "evaluation.json"))
    ap.add_argument("--quick", action="store_true", help="a tenth of the documents, no stories")
    args = ap.parse_args()
    torch.set_num_threads(args.threads)

    tok = Tokenizer.from_file(str(Path(args.model) / "tokenizer.json"))
    model = load_hf_folder(args.model)
    texts = heldout_documents(args.data, args.heldout_bytes)
    if args.quick:
        texts = texts[::10]
    documents = [e.ids for e in tok.encode_batch(texts)]
    result = {"documents": len(texts), "bytes": sum(len(t.encode()) for t in texts)}
    n = model.layers

    # The same folder through the reference implementation.
    from transformers import AutoModelForCausalLM, AutoTokenizer

    reference = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32).eval()
    ids = AutoTokenizer.from_pretrained(args.model)(texts[0]).input_ids
    assert ids == documents[0], "tokenizers disagree"
    with torch.no_grad():
        theirs = reference(torch.tensor([ids[:512]])).logits
    ours = model.logits(torch.tensor([ids[:512]]), full_plan(n))
    result["parameters"] = sum(p.numel() for p in model.parameters())
    result["largest_logit_difference"] = (ours - theirs).abs().max().item()
    assert result["largest_logit_difference"] < 1e-3
    print(json.dumps(result), flush=True)

    few = documents[:: max(1, len(documents) // 12)]
    drop_full, singles_full = least_missed(model, few, 1, 3)
    drop_shared = best_neighbours(model, few, 2)
    plans = {
        "full": full_plan(n),
        "share 2": share_plan(n, 2),
        "share 3": share_plan(n, 3),
        f"without layers {sorted(drop_full[:2])}": share_plan(n, 1, drop_full[:2]),
        f"without layers {sorted(drop_full)}": share_plan(n, 1, drop_full),
        f"without layers {sorted(drop_shared)}, share 2": share_plan(n, 2, drop_shared),
    }
    result["one_layer_removed_probe"] = singles_full
    result["losses"] = {}
    for name, plan in plans.items():
        nats, tokens = measure(model, documents, plan)
        result["tokens"] = tokens
        blocks = sorted({b for _, b in plan})
        matrices = sum(p.numel() for k, p in model.blocks[0].items() if not k.startswith("norm"))
        result["losses"][name] = {
            "layers": len(plan),
            "blocks": len(blocks),
            "parameters": model.embedding.numel() + model.norm.numel()
            + len(blocks) * matrices + len(plan) * 2 * model.config["hidden_size"],
            "nats_per_token": round(nats / tokens, 4),
            "nats_per_byte": round(nats / result["bytes"], 4),
            "perplexity": round(math.exp(nats / tokens), 3),
        }
        print(name, json.dumps(result["losses"][name]), flush=True)
    base = result["losses"]["full"]["perplexity"]
    for row in result["losses"].values():
        row["perplexity_against_full"] = round(row["perplexity"] / base - 1, 4)

    if not args.quick:
        plan = share_plan(n, 2)
        penalty = json.loads((Path(args.model) / "generation_config.json").read_text())["repetition_penalty"]
        result["greedy"] = [[p, write_story(model, tok, p, plan, 0, penalty=penalty)] for p in GREEDY]
        result["sampled"] = [
            [s, p, write_story(model, tok, p, plan, 0.7, s, penalty=penalty)] for s, p in SAMPLED
        ]
    Path(args.out).write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
