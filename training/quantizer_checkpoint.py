"""The state of a killed fit, in one safetensors file: tensors, and the plain facts as JSON in its header."""

import json
import logging
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from model.durable_files import write_durably
from training.quantizer_quality import Quality
from training.quantizer_trainer import Kept, QuantizerTrainer, State

CHECKPOINT_FILE = "checkpoint.safetensors"

logger = logging.getLogger(__name__)


def write_checkpoint(folder: Path, trainer: QuantizerTrainer, settings: str, seconds: float) -> None:
    """Replaces the folder's checkpoint as a whole.

    Args:
        folder: of the stage.
        trainer: whose state is written.
        settings: everything that must be the same for the state to be of use again.
        seconds: the time that training took so far.
    """
    tensors = {"labels": trainer.labels, **_prefixed("model", trainer.model.state_dict())}
    for number, values in trainer.optimiser.state_dict()["state"].items():
        tensors |= _prefixed(f"optimiser.{number}", values)
    for modality, kept in trainer.kept.items():
        tensors |= _prefixed(f"kept.{modality}", kept.weights)
    kept_facts = {
        modality: {"epoch": kept.epoch, "quality": kept.quality._asdict(), "lowest": kept.lowest}
        for modality, kept in trainer.kept.items()
    }
    facts = {"settings": settings, "epoch": trainer.epoch, "seconds": seconds, "kept": kept_facts}
    contiguous = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
    write_durably(folder / CHECKPOINT_FILE, [save(contiguous, metadata={"facts": json.dumps(facts)})])


def restore_checkpoint(folder: Path, trainer: QuantizerTrainer, settings: str) -> float | None:
    """Puts the trainer where the folder's checkpoint left off; None if there is none for these settings.

    Returns:
        The seconds that training took until then.
    """
    path = folder / CHECKPOINT_FILE
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt", device=str(trainer.labels.device)) as file:
            facts = json.loads(file.metadata()["facts"])
            tensors: State = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    except SafetensorError as error:
        logger.warning("ignoring the damaged checkpoint %s (%s): training starts over", path, error)
        return None
    if facts["settings"] != settings:
        logger.warning("ignoring the checkpoint %s of other settings or embeddings: training starts over", path)
        return None
    trainer.epoch = facts["epoch"]
    trainer.labels = tensors["labels"]
    trainer.model.load_state_dict(_with_prefix("model", tensors))
    _restore_optimiser(trainer, tensors)
    for modality, kept in facts["kept"].items():
        weights = _with_prefix(f"kept.{modality}", tensors)
        trainer.kept[int(modality)] = Kept(kept["epoch"], Quality(**kept["quality"]), kept["lowest"], weights)
    return float(facts["seconds"])


def _restore_optimiser(trainer: QuantizerTrainer, tensors: State) -> None:
    state = trainer.optimiser.state_dict()
    states = {number: _with_prefix(f"optimiser.{number}", tensors) for number in state["param_groups"][0]["params"]}
    trainer.optimiser.load_state_dict(
        {**state, "state": {number: values for number, values in states.items() if values}}
    )


def _prefixed(prefix: str, tensors: dict[str, Tensor]) -> State:
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def _with_prefix(prefix: str, tensors: State) -> State:
    return {name.removeprefix(f"{prefix}."): value for name, value in tensors.items() if name.startswith(f"{prefix}.")}
