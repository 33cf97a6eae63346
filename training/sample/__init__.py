"""The sample shop: a deterministic generator of items with texts and drawn pictures, users with tastes, and an oracle.

``generate(SampleConfig(), folder)`` writes the canonical form; ``Oracle.load(folder / "oracle.npz")`` knows the best
possible answer to every question about it.
"""

from training.sample.generate import SampleConfig, generate
from training.sample.oracle import Oracle, OracleScores

__all__ = ["Oracle", "OracleScores", "SampleConfig", "generate"]
