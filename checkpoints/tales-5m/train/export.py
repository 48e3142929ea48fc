"""Writing the Hugging Face folder."""

import json
import os
import shutil

from safetensors.torch import save_file

from model import hf_config, to_hf_tensors


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
    generation = {
        "bos_token_id": 0,
        "eos_token_id": 0,
        "pad_token_id": 0,
        "repetition_penalty": 1.15,  # a model of this size repeats itself otherwise
    }
    put("generation_config.json", lambda p: p.write_text(json.dumps(generation, indent=2) + "\n"))
    if metrics_path.exists():
        put("train/metrics.jsonl", lambda p: shutil.copyfile(metrics_path, p))
