"""Makes blocks/FORM.bin: 24 random blocks of a quantization form, then the float32 that the `gguf` package makes of them.

Every bit of a block is random but the float16 scales, which stay finite (and take subnormals, zero and both signs).
Run with gguf and numpy installed: python make-blocks.py
"""

from pathlib import Path

import gguf
import numpy as np

HERE = Path(__file__).parent / "blocks"
BLOCKS = 24
# Offsets of the float16 scales in a block.
SCALES = {
    "Q4_0": [0],
    "Q4_1": [0, 2],
    "Q5_0": [0],
    "Q5_1": [0, 2],
    "Q8_0": [0],
    "Q4_K": [0, 2],
    "Q5_K": [0, 2],
    "Q6_K": [208],
    "BF16": [],
    "F16": [],
}

HERE.mkdir(exist_ok=True)
random = np.random.default_rng(20)
for name, scales in SCALES.items():
    form = gguf.GGMLQuantizationType[name]
    size, block_bytes = gguf.GGML_QUANT_SIZES[form]
    blocks = random.integers(0, 256, (BLOCKS if scales else 256, block_bytes), dtype=np.uint8)
    if name == "F16":
        blocks[:, 1] &= 0xBF  # exponents below infinity
    if name == "BF16":
        blocks[:, 1] &= 0xBF
    for at in scales:
        values = (random.normal(0, 0.05, len(blocks))).astype(np.float16)
        values[:4] = [0, -0.0, 6e-8, -3e-6]
        blocks[:, at : at + 2] = values.view(np.uint8).reshape(-1, 2)
    expected = gguf.quants.dequantize(blocks.reshape(1, -1), form).astype("<f4")
    assert np.isfinite(expected).all() and expected.size == len(blocks) * size
    (HERE / f"{name.lower()}.bin").write_bytes(blocks.tobytes() + expected.tobytes())
