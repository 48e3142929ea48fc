"""Train the byte-level BPE tokenizer on the training stories.

    python make_tokenizer.py --data ../shared/data --out checkpoints/tales-5m
"""

import argparse
import json
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from data import END, training_stories


def train_tokenizer(stories, vocab_size):
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tok.decoder = decoders.ByteLevel()
    tok.train_from_iterator(
        stories,
        trainers.BpeTrainer(
            vocab_size=vocab_size,
            special_tokens=[END],  # becomes id 0
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    # A prompt starts the way every training story started: after the end of
    # the story before it.
    end = tok.token_to_id(END)
    tok.post_processor = processors.TemplateProcessing(
        single=f"{END} $A",
        pair=f"{END} $A {END} $B",
        special_tokens=[(END, end)],
    )
    return tok


def main():
    here = Path(__file__).resolve().parent
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--data", default="../shared/data")
    ap.add_argument("--out", default=str(here.parent))
    args = ap.parse_args()

    config = json.loads((here / "config.json").read_text())["model"]
    tok = train_tokenizer(training_stories(args.data), config["vocab_size"])
    assert tok.get_vocab_size() == config["vocab_size"]
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    tok.save(str(out / "tokenizer.json"))
    (out / "tokenizer_config.json").write_text(
        json.dumps(
            {
                "tokenizer_class": "PreTrainedTokenizerFast",
                "bos_token": END,
                "eos_token": END,
                "model_max_length": config["max_position_embeddings"],
                "clean_up_tokenization_spaces": False,
            },
            indent=2,
        )
        + "\n"
    )


if __name__ == "__main__":
    main()
