"""Makes tokenizers.json: what independent encoders make of nasty texts with small vocabularies.

`byteLevel`: the vocabulary of the pico checkpoints, by pre-tokenizer, encoded by the `tokenizers` library with the
splits that transformers has for them. `sentencePiece`: a vocabulary of its own with scores, encoded as SentencePiece
defines it: join the neighbours that make the piece of the highest score, the leftmost first, until none is left;
then bytes for characters that are no piece. Run with transformers and tokenizers installed: python make-tokenizers.py
"""

import json
from pathlib import Path

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers.integrations.gguf.gguf_tokenizer_mapping import GGUF_PRE_TOKENIZER_SPLITS

HERE = Path(__file__).parent
PICO = HERE.parents[2] / "fixtures" / "checkpoints" / "llama" / "tokenizer.json"
TEXTS = [
    "",
    " ",
    "the little girl saw a big bird",
    "  leading,   inner and trailing   ",
    "it's we'll they've I'm you'd ISN'T IT'S",
    "one\ntwo\n\nfour\r\n\ttab\n   \n",
    "1 12 123 1234567 3.14159 ½²",
    "日本語。한국어 мир שלום",
    "🎉👩‍👩‍👧🇫🇷",
    "cafe\u0301 café \u212b",
    "!!!??? ... ((([[ @#$%",
    "a  b   c    d     e",
    "▁mark▁▁",
    "CamelCaseWordsAnd_snake_case mixedUP",
]
CORPUS = """Once upon a time there was a little girl who lived in a small house near the forest. One day the
girl went to the forest and there she saw a big bird. The bird said that it was hungry, so the girl gave it
her bread. They were happy, and from that day on they were friends."""


def main() -> None:
    golden = {"byteLevel": byte_level(), "sentencePiece": sentence_piece()}
    (HERE / "tokenizers.json").write_text(json.dumps(golden, indent=1, ensure_ascii=False) + "\n")


def byte_level() -> list:
    bytes_only = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    gpt2 = pre_tokenizers.ByteLevel(add_prefix_space=False)
    by_name = {
        "gpt-2": gpt2,
        "default": gpt2,
        "smollm": pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), gpt2]),
    }
    for name in ["llama-bpe", "qwen2", "tekken"]:
        split = pre_tokenizers.Split(Regex(GGUF_PRE_TOKENIZER_SPLITS[name]), behavior="isolated")
        by_name[name] = pre_tokenizers.Sequence([split, bytes_only])
    cases = []
    for name, pre_tokenizer in by_name.items():
        tokenizer = Tokenizer.from_file(str(PICO))
        tokenizer.pre_tokenizer = pre_tokenizer
        tokenizer.post_processor = None
        if name == "qwen2":
            tokenizer.normalizer = normalizers.NFC()
        # What the vocabulary cannot show, as most of its pieces are bytes: where words are cut.
        words = [[word for word, _ in pre_tokenizer.pre_tokenize_str(text)] for text in TEXTS]
        ids = [tokenizer.encode(text).ids for text in TEXTS]
        cases.append({"pre": name, "texts": TEXTS, "ids": ids, "words": words})
    return cases


def sentence_piece() -> dict:
    # Trained on its own: only the order in which pieces were found is used.
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.train_from_iterator(
        [CORPUS], trainers.BpeTrainer(vocab_size=160, show_progress=False, initial_alphabet=list("abcdefghijklmnopqrstuvwxyz▁."))
    )
    trained = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)
    pieces = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    types = [2, 3, 3] + [6] * 256
    scores = [0.0] * len(pieces)
    # Defined by the makers, as in Gemma: runs of spaces, written as spaces, and a tag.
    for piece in ["  ", "   ", "    ", "<tag>"]:
        pieces.append(piece)
        types.append(4)
        scores.append(-1000.0)
    for rank, piece in enumerate(trained):
        pieces.append(piece)
        types.append(1)
        scores.append(-float(rank))
    texts = TEXTS + ["<tag>a <tag> b", "<s>x</s>", "    \n    deep"]
    return {
        "pieces": pieces,
        "types": types,
        "scores": scores,
        "texts": texts,
        "withPrefix": [encode(text, pieces, types, scores, prefix=True) for text in texts],
        "withoutPrefix": [encode(text, pieces, types, scores, prefix=False) for text in texts],
    }


def encode(text: str, pieces: list, types: list, scores: list, prefix: bool) -> list:
    ids = []
    wholes = {piece: i for i, piece in enumerate(pieces) if types[i] in (3, 4) and piece.strip()}
    for part in cut(text, wholes):
        ids += [wholes[part]] if part in wholes else join(part, pieces, types, scores, prefix)
    return ids


def cut(text: str, wholes: dict) -> list:
    found = [(text.index(whole), whole) for whole in wholes if whole in text]
    if not found:
        return [text] if text else []
    at, whole = min(found)
    return cut(text[:at], wholes) + [whole] + cut(text[at + len(whole) :], wholes)


def join(text: str, pieces: list, types: list, scores: list, prefix: bool) -> list:
    spelled = {piece.replace(" ", "▁"): i for i, piece in enumerate(pieces) if types[i] in (1, 4)}
    # The makers' own pieces win over all others, in their order.
    score = {piece: (1, -i) if types[i] == 4 else (0, scores[i]) for piece, i in spelled.items()}
    parts = list(("▁" if prefix else "") + text.replace(" ", "▁"))
    while True:
        pairs = [(score[a + b], -i) for i, (a, b) in enumerate(zip(parts, parts[1:])) if a + b in score]
        if not pairs:
            break
        at = -max(pairs)[1]
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    byte = pieces.index("<0x00>")
    return [i for part in parts for i in ([spelled[part]] if part in spelled else [byte + b for b in part.encode()])]


main()
