"""What a step runs and how fast it learns, by how far the run has come.

`progress` goes from 0 to 1; `settings` is config.json.
"""

from model import share_plan


def choose_plan(layers, progress, settings, rng):
    """This step's plan and its name."""
    tied = progress < settings["training"]["untie_from"]
    table = settings["plans_tied" if tied else "plans_untied"]
    name = rng.choices(list(table), list(table.values()))[0]
    inner = range(1, layers - 1)
    if name.endswith("_drop"):
        if rng.random() < 0.4:  # one whole pair, so that the other pairs stay
            first = 2 * rng.randrange(1, layers // 2 - 1)
            dropped = {first, first + 1}
        else:
            dropped = set(rng.sample(inner, rng.randint(1, 3)))
    else:
        dropped = set()
    if name.startswith("full"):
        plan = share_plan(layers, 1, dropped)
    else:
        plan = share_plan(layers, 3 if name.startswith("share3") else 2, dropped)
    t = settings["training"]
    keep = t["early_depth"] + (1 - t["early_depth"]) * progress / t["full_depth_from"]
    if name == "share2" and keep < 1:  # skip second layers of pairs, fewer and fewer
        plan = [(layer, block) for layer, block in plan if layer == block or rng.random() < keep]
    if tied:  # the odd blocks do not exist yet
        plan = [(layer, block - block % 2) for layer, block in plan]
    return name, plan


def rate(progress, t):
    """Learning rate as a part of its peak: warm-up, flat, linear to zero."""
    if progress < t["warmup_until"]:
        return max(0.02, progress / t["warmup_until"])
    return min(1.0, (1 - progress) / (1 - t["decay_from"]))
