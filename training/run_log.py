"""A run's metrics as JSON lines and TensorBoard events; a resumed run drops what it is about to do again."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from torch.utils.tensorboard import SummaryWriter

METRICS_FILE = "metrics.jsonl"


class RunLog:
    """Appends one record per step; use as a context manager."""

    def __init__(self, folder: Path, resume_after: int) -> None:
        """Opens the log of a run folder and forgets records after step ``resume_after``."""
        self.path = folder / METRICS_FILE
        _truncate(self.path, resume_after)
        self._lines = self.path.open("a")
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=resume_after + 1)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Adds a record; the file is flushed, so a killed run keeps it."""
        self._lines.write(json.dumps({"step": step, **values}) + "\n")
        self._lines.flush()
        for name, value in values.items():
            self._board.add_scalar(name, value, step)

    def __enter__(self) -> "RunLog":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lines.close()
        self._board.close()


def read_metrics(folder: Path) -> list[dict[str, float]]:
    """The records of a run folder, oldest first; a line cut short by a kill is left out."""
    path = folder / METRICS_FILE
    if not path.exists():
        return []
    lines = path.read_text().split("\n")[:-1]
    return [json.loads(line) for line in lines]


def _truncate(path: Path, last_step: int) -> None:
    kept = [record for record in read_metrics(path.parent) if record["step"] <= last_step]
    temporary = path.with_suffix(".tmp")
    temporary.write_text("".join(json.dumps(record) + "\n" for record in kept))
    temporary.replace(path)
