"""The assign stage where the data brings semantic IDs: they are taken over as they are, shared leaves included."""

import shutil
from pathlib import Path


def import_ids(prepare: Path, out: Path) -> None:
    """Copies the codes and the ID space that the prepare stage read."""
    out.mkdir(parents=True, exist_ok=True)
    for name in ("codes.npy", "id_space.json"):
        shutil.copy(prepare / name, out / name)
