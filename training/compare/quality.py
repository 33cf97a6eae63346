"""What a system's answers are worth, and what its semantic IDs are like: numbers for one row and seed."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.assign_ids import GREEDY_FILE
from training.compare.systems import Answers, System
from training.evaluate import PROTOCOLS
from training.id_space_file import read_id_space
from training.metrics import hits, summarise
from training.split import NO_ITEM, Split

Arrays = dict[str, NDArray[np.integer]]


def measure(system: System) -> tuple[dict[str, Any], Arrays]:
    """The figures of a row, and the ranks of all targets, for paired differences.

    The arrays ``users`` and ``back`` say whose target, and which of the last, a rank belongs to; ``<protocol>/<list>``
    are the ranks and ``<protocol>/top`` the first items of the main list. Of several targets of a user all count.
    """
    arrays: dict[str, list[NDArray[np.integer]]] = {}
    for back in range(system.split.test_events):
        look = replace(system.split, back=back)
        users = system.users(look)
        if not len(users):
            break
        columns: Arrays = {"users": users, "back": np.full(len(users), back), "targets": look.targets(users, "test")}
        for protocol, remove_seen in PROTOCOLS.items():
            columns |= _columns(protocol, system.answers(look, remove_seen=remove_seen))
        for name, column in columns.items():
            arrays.setdefault(name, []).append(column)
    joined = {name: np.concatenate(parts) for name, parts in arrays.items()}
    return _figures(system, joined), joined


def id_quality(assign: Path) -> dict[str, Any]:
    """Use and collisions of the semantic IDs in the assign stage's folder, by modality and level.

    ``collisions`` is (N - distinct prefixes) / N for the prefixes of each length, before items moved and after;
    ``perplexity`` is exp(entropy) of the codes' frequencies.
    """
    space = read_id_space(assign / "id_space.json")
    after = np.load(assign / "codes.npy", allow_pickle=False)
    greedy = assign / GREEDY_FILE
    before = np.load(greedy, allow_pickle=False) if greedy.exists() else after
    return {
        name: {
            "codes": space.codes,
            "collision_rate_before": _collisions(before[modality])[-1],
            "collisions_before": _collisions(before[modality]),
            "collisions_after": _collisions(after[modality]),
            **_usage(before[modality], space.codes),
        }
        for modality, name in enumerate(space.modalities)
    }


def _columns(protocol: str, answers: Answers) -> Arrays:
    named = {f"{protocol}/{name}": ranks for name, ranks in answers.ranks.items()}
    of_ids = {f"{protocol}/{name}/semantic_id": ranks for name, ranks in answers.id_ranks.items()}
    return {**named, **of_ids, f"{protocol}/top": answers.top}


def _figures(system: System, arrays: Arrays) -> dict[str, Any]:
    figures: dict[str, Any] = {"users": len(np.unique(arrays["users"])), "targets": len(arrays["targets"])}
    for protocol in PROTOCOLS:
        prefix = f"{protocol}/"
        lists = {name.removeprefix(prefix): ranks for name, ranks in arrays.items() if name.startswith(prefix)}
        top = lists.pop("top")
        figures[protocol] = {
            **_rounded(lists[system.main]),
            "lists": {name: _rounded(ranks) for name, ranks in lists.items()},
            "coverage@10": round(_coverage(top[:, :10], system.items), 5),
        }
    return figures | {"cold": _cold(system.split, system.items, arrays, system.main)}


def _rounded(ranks: NDArray[np.integer]) -> dict[str, float]:
    return {name: round(one.value, 5) for name, one in summarise(ranks).items()}


def _coverage(top: NDArray[np.integer], items: int) -> float:
    """The share of the catalog that stands in somebody's list."""
    return len(np.unique(top[top != NO_ITEM])) / items


def _cold(split: Split, items: int, arrays: Arrays, main: str) -> dict[str, float | int]:
    """How many targets no user met in training, and how many of those are found."""
    never = split.training_counts(items)[arrays["targets"]] == 0
    found = {f"hits@10 {protocol}": int(hits(arrays[f"{protocol}/{main}"][never], 10).sum()) for protocol in PROTOCOLS}
    return {"targets": int(never.sum()), "share": round(float(never.mean()), 5), **found}


def _collisions(codes: NDArray[np.uint8]) -> list[float]:
    """For each prefix length the share of items beyond one a prefix."""
    items, levels = codes.shape
    distinct = [len(np.unique(codes[:, : length + 1], axis=0)) for length in range(levels)]
    return [round((items - found) / items, 6) for found in distinct]


def _usage(codes: NDArray[np.uint8], size: int) -> dict[str, Any]:
    """Per level how many codes some item has, the perplexity, and how many items have each code."""
    counts = np.stack([np.bincount(column, minlength=size) for column in codes.T])
    shares = counts / counts.sum(axis=1, keepdims=True)
    entropy = -(shares * np.log(np.where(shares > 0, shares, 1.0))).sum(axis=1)
    return {
        "codes_used": (counts > 0).sum(axis=1).tolist(),
        "perplexity": [round(float(value), 2) for value in np.exp(entropy)],
        "counts": counts.tolist(),
    }
