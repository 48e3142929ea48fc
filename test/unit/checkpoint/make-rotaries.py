"""Makes rotaries.json: the inverse frequencies and magnitude that transformers computes for rope parameters.

Run with torch and transformers installed: python make-rotaries.py
"""

import json
from pathlib import Path

from transformers import AutoConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

CASES = {
    "default": {"rope_type": "default", "rope_theta": 10000.0},
    "theta 1e6": {"rope_type": "default", "rope_theta": 1000000.0},
    "linear": {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0},
    "llama3": {
        "rope_type": "llama3",
        "rope_theta": 500000.0,
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    },
    "yarn": {"rope_type": "yarn", "rope_theta": 1000000.0, "factor": 4.0, "original_max_position_embeddings": 32768},
    "yarn, all parameters": {
        "rope_type": "yarn",
        "rope_theta": 10000.0,
        "factor": 40.0,
        "original_max_position_embeddings": 4096,
        "beta_fast": 24.0,
        "beta_slow": 2.0,
        "mscale": 0.707,
        "mscale_all_dim": 1.0,
        "truncate": False,
    },
    "yarn, attention factor": {
        "rope_type": "yarn",
        "rope_theta": 10000.0,
        "factor": 2.0,
        "original_max_position_embeddings": 2048,
        "attention_factor": 1.25,
    },
}

golden = []
for name, parameters in CASES.items():
    for head_size in [64, 128]:
        config = AutoConfig.for_model(
            "llama", hidden_size=head_size * 4, num_attention_heads=4, head_dim=head_size, rope_parameters=dict(parameters)
        )
        rotary = LlamaRotaryEmbedding(config)
        golden.append(
            {
                "name": f"{name}, {head_size}",
                "parameters": parameters,
                "headSize": head_size,
                "inverseFrequencies": [float(f) for f in rotary.inv_freq],
                "magnitude": float(rotary.attention_scaling),
            }
        )
(Path(__file__).parent / "rotaries.json").write_text(json.dumps(golden, indent=1) + "\n")
