"""Greedy continuations by transformers, in float32, of the real models' GGUF files.

    python make-goldens.py FOLDER      # where npm run models:fetch put the files

Needs torch, transformers, gguf and accelerate. Writes NAME.json beside itself: per prompt the token ids
and those that follow, and the smallest lead of a chosen token's logit over the next best.
"""

import json
import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

FILES = {
    "smollm2": "SmolLM2-135M-Instruct.Q4_1.gguf",
    "qwen": "Qwen2.5-Coder-0.5B-Instruct.Q4_K_M.gguf",
}
PROMPTS = [
    "The capital of France is",
    "def fibonacci(n):\n    ",
    "Once upon a time, in a village by the sea,",
]
TOKENS = 32

torch.set_num_threads(2)
for name, file in FILES.items():
    folder = sys.argv[1]
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=file)
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=file, dtype=torch.float32)
    results = []
    for prompt in PROMPTS:
        ids = tokenizer(prompt, return_tensors="pt").input_ids
        prompt_ids, made, lead = ids[0].tolist(), [], float("inf")
        cache = None
        with torch.no_grad():
            for _ in range(TOKENS):
                out = model(ids, past_key_values=cache, use_cache=True)
                cache = out.past_key_values
                best = out.logits[0, -1].topk(2)
                lead = min(lead, (best.values[0] - best.values[1]).item())
                made.append(best.indices[0].item())
                ids = best.indices[:1].view(1, 1)
        print(name, repr(tokenizer.decode(made)), lead)
        results.append({"prompt": prompt_ids, "tokens": made, "lead": lead})
    (Path(__file__).parent / f"{name}.json").write_text(json.dumps(results) + "\n")
