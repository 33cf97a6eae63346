"""How long unique IDs take for a million items of which a fifth collide: ``python -m benchmarks.assign_ids``.

Prints one JSON line: seconds of the whole rule (greedy codes included), peak memory of the process, collisions before
and after. The items lie around centres whose popularity follows a power law, as the near-duplicates of a real catalog
do, so that some prefixes overflow and the level before is needed too.
"""

import argparse
import json
import resource
import sys
import time

import numpy as np

from model.assignment import MOVED_BEFORE, MOVED_LAST, SHARED, Floats, assign, collision_rate

LEVELS, CODES, WIDTH = 4, 256, 32


def crowded_catalog(items: int, seed: int) -> tuple[Floats, Floats]:
    """Latents ``(items, 32)`` and codebooks ``(4, 256, 32)`` float32 with about 20 % collisions."""
    rng = np.random.default_rng(seed)
    shrink = 0.5 ** np.arange(LEVELS, dtype=np.float32)
    codebooks = rng.standard_normal((LEVELS, CODES, WIDTH), dtype=np.float32) * shrink[:, None, None]
    centres = np.zeros((max(1, items // 3), WIDTH), dtype=np.float32)
    for codebook in codebooks:
        centres += codebook[rng.integers(0, CODES, len(centres))]
    crowded = rng.random(items) < 0.37
    popular = (len(centres) * rng.random(items) ** 3).astype(np.int64)
    spread = rng.standard_normal((items, WIDTH), dtype=np.float32)
    near = centres[popular] + 0.02 * spread
    return np.where(crowded[:, None], near, spread * 1.1), codebooks


def measure(items: int, seed: int) -> dict[str, float | int]:
    """Runs the rule once and says what it took and did."""
    latents, codebooks = crowded_catalog(items, seed)
    started = time.perf_counter()
    result = assign(latents, codebooks)
    seconds = time.perf_counter() - started
    return {
        "items": items,
        "seconds": round(seconds, 2),
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "collision_rate_before": round(collision_rate(result.greedy), 4),
        "collision_rate_after": round(collision_rate(result.codes), 4),
        "moved_last": int((result.outcome == MOVED_LAST).sum()),
        "moved_before": int((result.outcome == MOVED_BEFORE).sum()),
        "left_sharing": int((result.outcome == SHARED).sum()),
    }


def main() -> None:
    """Reads the command line and prints the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    sys.stdout.write(json.dumps({"benchmark": "assign_ids", **measure(arguments.items, arguments.seed)}) + "\n")


if __name__ == "__main__":
    main()
