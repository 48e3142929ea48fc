"""Makes goldens/NAME.json: what transformers and the `gguf` package read from a real model's GGUF file.

    {"encodings": [{"text", "ids"}], "withSpecialTokens": ids of the first text,
     "tensors": [{"role", "storedAs", "rows": [start, count], "sha256": of the float32 values}]}
Hashes, as not every model's licence lets its weights be copied here.
Run with transformers, tokenizers, gguf, numpy and the models (npm run models:fetch) at hand:
    python make-goldens.py FOLDER_OF_THE_MODELS
"""

import hashlib
import json
import re
import sys
from pathlib import Path

import gguf
import numpy as np
from tokenizers import normalizers, pre_tokenizers
from transformers.integrations.gguf import convert_gguf_tokenizer, get_gguf_tokenizer

HERE = Path(__file__).parent
TEXTS = [
    "Hello world",
    "The quick brown fox jumps over the lazy dog.",
    "",
    " ",
    "   leading, and trailing   ",
    "it's we'll they've I'm you'd ISN'T IT'S don’t",
    "line one\nline two\n\nline four\r\n\tindented\n   \n",
    "1 12 123 1234 3.14159 2,000,000 0x1F ½ ² ٣",
    "日本語のテキスト。中文字符，한국어 문장.",
    "Привет, мир! Γειά σου. שלום عالم नमस्ते",
    "🎉👩‍👩‍👧‍👦🇫🇷 👍🏽 🫠",
    "cafe\u0301 café ﬁ Å \u212b",
    "<|im_start|>user\nHi<|im_end|>\n<|endoftext|><bos><eos><start_of_turn>user\nHi<end_of_turn>\n",
    "<|im_start|> <|im_end|>x <pad>",
    "def f(x):\n    return x**2  # comment\n\n\n\n\nif __name__ == '__main__':\n\tprint(f(3))",
    "<table><tr><td>cell</td></tr></table>",
    "a  b   c    d     e      f       g        h",
    "!!!??? ... --- *** ((([[[{{{ }}}]]]))) @#$%^&*",
    "\u200b\u00a0\u3000\ufeffzero width\u0000nul\u0001",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "Donaudampfschifffahrtsgesellschaftskapitän antidisestablishmentarianism",
    "▁literal mark▁▁and more",
]

MODELS = {
    "smollm2": "SmolLM2-135M-Instruct.Q4_1.gguf",
    "qwen": "Qwen2.5-Coder-0.5B-Instruct.Q4_K_M.gguf",
    "gemma": "gemma-3-270m.Q4_K_M.gguf",
}


def main(folder: Path) -> None:
    for name, file in MODELS.items():
        if not (folder / file).exists():
            print(f"{folder / file} is not there: its golden stays as it is", file=sys.stderr)
            continue
        golden = tokenizer_golden(folder / file) | {"tensors": tensor_golden(folder / file)}
        path = HERE / "goldens" / f"{name}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(golden, indent=1, ensure_ascii=False) + "\n")


def tokenizer_golden(path: Path) -> dict:
    architecture, tokenizer, config = get_gguf_tokenizer(str(path))
    backend, _ = convert_gguf_tokenizer(architecture, tokenizer)
    # What the models' own tokenizer.json says and transformers does not take from a GGUF file.
    if tokenizer.get("pre_tokenizer_type") == "smollm":
        backend.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        )
    if tokenizer.get("pre_tokenizer_type") == "qwen2":
        backend.normalizer = normalizers.NFC()
    encodings = [{"text": text, "ids": backend.encode(text, add_special_tokens=False).ids} for text in TEXTS]
    bos = [tokenizer["bos_token_id"]] if config.get("add_bos_token") else []
    return {"encodings": encodings, "withSpecialTokens": bos + encodings[0]["ids"]}


ROLES = {
    "token_embd.weight": "embedding",
    "output.weight": "head",
    "output_norm.weight": "norm",
    "attn_norm.weight": "attention.norm",
    "attn_q.weight": "attention.q",
    "attn_k.weight": "attention.k",
    "attn_v.weight": "attention.v",
    "attn_q.bias": "attention.q.bias",
    "attn_q_norm.weight": "attention.q.norm",
    "attn_output.weight": "attention.output",
    "post_attention_norm.weight": "attention.postNorm",
    "ffn_gate.weight": "mlp.gate",
    "ffn_up.weight": "mlp.up",
    "ffn_down.weight": "mlp.down",
}


def tensor_golden(path: Path) -> list:
    """The hash of some rows of each kind of tensor in each quantization form."""
    reader = gguf.GGUFReader(path)
    golden = []
    seen = set()
    for tensor in reader.tensors:
        layer, kind = re.fullmatch(r"(?:blk\.(\d+)\.)?(.+)", tensor.name).groups()
        if kind not in ROLES or (kind, tensor.tensor_type) in seen:
            continue
        seen.add((kind, tensor.tensor_type))
        role = ROLES[kind] if layer is None else f"layers.{layer}.{ROLES[kind]}"
        rows = tensor.data if len(tensor.shape) == 2 else tensor.data.reshape(1, -1)
        values = gguf.quants.dequantize(rows[:2000], tensor.tensor_type)
        if kind in ["attn_q.weight", "attn_k.weight"] and string_of(reader, "general.architecture") == "llama":
            # Rotary pairs to halves, head by head.
            heads = {"q": "head_count", "k": "head_count_kv"}[kind[5]]
            count = int(reader.fields[f"llama.attention.{heads}"].contents())
            values = values.reshape(count, -1, 2, values.shape[1]).swapaxes(1, 2).reshape(values.shape)
        rows = values[33:38] if len(tensor.shape) == 2 else values
        golden.append(
            {
                "role": role,
                "storedAs": tensor.tensor_type.name,
                "rows": [33, 5] if len(tensor.shape) == 2 else [0, rows.size],
                "sha256": hashlib.sha256(np.ascontiguousarray(rows, dtype="<f4").tobytes()).hexdigest(),
            }
        )
    return golden


def string_of(reader: gguf.GGUFReader, key: str) -> str:
    return reader.fields[key].contents()


main(Path(sys.argv[1]))
