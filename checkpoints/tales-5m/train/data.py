"""Reading the stories: which files, how they are parted, what is held out.

Everything is read from a data folder given on the command line; nothing is
copied. Within a story paragraphs are parted by a blank line, the way the
TinyStories files have it.
"""

import random
import re
from pathlib import Path

import numpy as np

END = "<|endoftext|>"

# The validation excerpt holds a few quotes that were decoded with the wrong
# code page once; bring them back to ASCII like the rest.
MOJIBAKE = {
    "\u00e2\u20ac\u0153": '"',
    "\u00e2\u20ac\u009d": '"',
    "\u00e2\u20ac\u2122": "'",
    "\u00e2\u20ac\u02dc": "'",
    "\u00e2\u20ac\u201c": "-",
    "\u00e2\u20ac\u201d": "-",
    "\u00e2\u20ac": '"',
    "\u201c": '"',
    "\u201d": '"',
    "\u2018": "'",
    "\u2019": "'",
}


def to_ascii_quotes(text):
    for bad, good in MOJIBAKE.items():
        text = text.replace(bad, good)
    return text


def blank_lines(story):
    """Part paragraphs by exactly one blank line."""
    return re.sub(r" *\n+ *", "\n\n", story.strip())


def training_stories(data_dir):
    """All training stories, in file order."""
    data = Path(data_dir)
    stories = []

    # TinyStories, parted by a line <|endoftext|>, one newline per paragraph.
    text = (data / "stories-more" / "tinystories_more.txt").read_text(encoding="utf-8")
    stories += [blank_lines(s) for s in text.split(END)]

    # TinyStories again: a blank line parts paragraphs, a lone newline stories.
    text = (data / "tinystories" / "tinystories_train_excerpt.txt").read_text(encoding="utf-8")
    stories += [blank_lines(to_ascii_quotes(s)) for s in re.split(r"(?<!\n)\n(?!\n)", text)]

    # Other simple stories; their line breaks are kept as they are.
    text = (data / "stories-more" / "simple_more.txt").read_text(encoding="utf-8")
    stories += [s.strip() for s in text.split(END)]

    return [s for s in stories if len(s) >= 40]


def heldout_documents(data_dir, heldout_bytes):
    """The held-out documents, never trained on.

    The last `heldout_bytes` bytes of tinystories/tinystories_val.txt, moved
    forward to the next paragraph that opens with "Once upon a time", and cut
    before every paragraph that opens with "Once upon a time" or "Once there"
    (the file itself does not mark where a story ends, so a document is one or
    several whole stories).
    """
    raw = (Path(data_dir) / "tinystories" / "tinystories_val.txt").read_bytes()
    text = to_ascii_quotes(raw[-heldout_bytes:].decode("utf-8", errors="ignore"))
    start = text.index("\n\nOnce upon a time")
    parts = re.split(r"\n\n(?=Once upon a time|Once there)", text[start + 2 :])
    return [blank_lines(p) for p in parts]


def token_batches(encoded, tokens, rng: random.Random):
    """Endless batches of packed tokens, as inputs and targets: the second are
    the first moved on by one. The stories are reshuffled every pass."""
    stream = token_stream(encoded, rng)
    buffer = np.zeros(0, dtype=np.int64)
    while True:
        parts, have = [buffer], len(buffer)
        while have < tokens + 1:
            parts.append(next(stream))
            have += len(parts[-1])
        buffer = np.concatenate(parts)
        yield buffer[:tokens], buffer[1 : tokens + 1]
        buffer = buffer[tokens:].copy()


def token_stream(encoded, rng: random.Random):
    """Endless stream of packed tokens: the stories are reshuffled every pass."""
    order = list(range(len(encoded)))
    while True:
        rng.shuffle(order)
        for i in order:
            yield encoded[i]
