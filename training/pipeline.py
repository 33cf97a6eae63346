"""The stages of a run in order: each is run if its settings or inputs changed, resumed if killed, else skipped."""

import hashlib
import json
import logging
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from model.errors import ConfigError
from training import assign_ids, evaluate, export, fit_fusion, fit_generator, fit_quantizer, prepare
from training.config import RunConfig
from training.data_fingerprint import data_fingerprint
from training.embeddings import EmbeddingsConfig
from training.embeddings import stage as embed
from training.import_ids import import_ids
from training.memory import peak_memory_mib, reset_peak_memory

log = logging.getLogger(__name__)

STAGE_FILE, DATA_FILE = "stage.json", "data.json"
TRAINING_STAGES = ("prepare", "embed", "quantize", "assign", "generate", "fuse")


@dataclass(frozen=True)
class Stage:
    """One stage of a run.

    Attributes:
        name: its folder in the run folder.
        settings: what its result depends on, as JSON.
        after: the stages whose folders it reads.
        action: does the work into the folder that it is given.
        reads_data: whether it reads the data folder too.
    """

    name: str
    settings: str
    after: tuple[str, ...]
    action: Callable[[Path], None]
    reads_data: bool = False


def stages(config: RunConfig, data: Path, out: Path) -> list[Stage]:
    """The stages of a run on the folder ``data`` into the folder ``out``, in order."""
    folders = {name: out / name for name in (*TRAINING_STAGES, "evaluate")}
    trained = not config.imports_ids
    return [
        *training_stages(config, data, folders),
        Stage(
            "evaluate",
            _json(config.evaluate) + _json(config.split),
            ("prepare", "assign", "generate", "fuse"),
            lambda to: evaluate.run(
                config.evaluate,
                fit_fusion.read_fusion(folders["fuse"]),
                config.split,
                data,
                folders["prepare"],
                folders["assign"],
                folders["generate"],
                to,
            ),
        ),
        Stage(
            "export",
            _json(config.export) + _json(config.split),
            (*(("embed", "quantize") if trained else ()), "prepare", "assign", "generate", "fuse", "evaluate"),
            lambda _: export.run(
                config.export,
                fit_fusion.read_fusion(folders["fuse"]),
                config.split,
                prepare=folders["prepare"],
                assign=folders["assign"],
                generate=folders["generate"],
                evaluate=folders["evaluate"],
                embed=folders["embed"] if trained else None,
                quantize=folders["quantize"] if trained else None,
                out=out / "bundle",
            ),
        ),
    ]


def training_stages(config: RunConfig, data: Path, folders: Mapping[str, Path]) -> list[Stage]:
    """The stages from the data to the trained generator and the weights of its lists, each with its own folder."""
    first = Stage(
        "prepare", _json(config.prepare), (), lambda to: prepare.run(config.prepare, data, to), reads_data=True
    )
    ids = [_imported_ids(folders)] if config.embedded is None else _trained_ids(config, config.embedded, data, folders)
    plain = config.fusion.plain()
    generate = Stage(
        "generate",
        _json(config.generate) + _json(plain) + _json(config.split),
        ("prepare", "assign"),
        lambda to: fit_generator.run(config.generate, plain, config.split, folders["prepare"], folders["assign"], to),
    )
    fuse = Stage(
        "fuse",
        _json(config.fusion) + _json(config.split),
        ("prepare", "assign", "generate"),
        lambda to: fit_fusion.run(
            config.fusion, config.split, folders["prepare"], folders["assign"], folders["generate"], to
        ),
    )
    return [first, *ids, generate, fuse]


def run_stages(config: RunConfig, data: Path, out: Path, only: str | None = None) -> None:
    """Runs what is not up to date, or the stage ``only`` in any case.

    Raises:
        ConfigError: if there is no stage ``only``, or a stage before it has not been run.
    """
    every = stages(config, data, out)
    if only is not None and only not in {stage.name for stage in every}:
        raise ConfigError(f"no stage {only!r} in this run; it has {[stage.name for stage in every]}")
    prints: dict[str, str] = {}
    of_data = data_fingerprint(data, out / DATA_FILE)
    for stage in every:
        prints[stage.name] = stage_fingerprint(stage, prints, of_data)
        if only is not None and stage.name != only:
            _require(out / stage.name, prints[stage.name], only)
            continue
        run_stage(stage, out / stage.name, prints[stage.name], rerun=only is not None)
        if only is not None:
            return


def _trained_ids(config: RunConfig, embedded: EmbeddingsConfig, data: Path, folders: Mapping[str, Path]) -> list[Stage]:
    modalities = tuple(embedded.modalities)
    imported = folders["prepare"] if config.imports_ids else None
    return [
        Stage(
            "embed",
            _json(embedded) + (_json(config.split) if embedded.reads_events else ""),
            ("prepare",),
            lambda to: embed.run(embedded, config.split, folders["prepare"], data, to),
            reads_data=True,
        ),
        Stage(
            "quantize",
            _json(config.quantize),
            ("embed",),
            lambda to: fit_quantizer.run(config.quantize, modalities, folders["embed"], to),
        ),
        Stage(
            "assign",
            _json(config.assign),
            ("prepare", "embed", "quantize"),
            lambda to: assign_ids.run(config.assign, modalities, folders["quantize"], folders["embed"], to, imported),
        ),
    ]


def _imported_ids(folders: Mapping[str, Path]) -> Stage:
    return Stage("assign", "imported", ("prepare",), lambda to: import_ids(folders["prepare"], to))


def run_stage(stage: Stage, folder: Path, fingerprint: str, *, rerun: bool = False) -> None:
    """Does the stage's work in ``folder``: not if it is done, from where it was if it was broken off."""
    state = stage_state(folder)
    if state.get("fingerprint") == fingerprint and state.get("finished") and not rerun:
        log.info("%s is up to date", stage.name)
        return
    if state.get("fingerprint") != fingerprint or rerun:
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    _write_state(folder, {"fingerprint": fingerprint, "finished": False})
    log.info("%s ...", stage.name)
    reset_peak_memory()
    started = time.monotonic()
    stage.action(folder)
    used = {"seconds": round(time.monotonic() - started, 1), "peak_memory_mib": peak_memory_mib()}
    _write_state(folder, {"fingerprint": fingerprint, "finished": True, **used})
    log.info("%s took %.1f s and at most %s MiB", stage.name, used["seconds"], used["peak_memory_mib"])


def _require(folder: Path, fingerprint: str, wanted: str) -> None:
    state = stage_state(folder)
    if not (state.get("fingerprint") == fingerprint and state.get("finished")):
        raise ConfigError(f"the stage {folder.name!r} must be run before {wanted!r}, and is not up to date in {folder}")


def stage_fingerprint(stage: Stage, prints: Mapping[str, str], of_data: str) -> str:
    """Names the stage's result: its settings, the results that it reads, and what the data folder holds."""
    parts = [stage.name, stage.settings, *(prints[name] for name in stage.after)]
    if stage.reads_data:
        parts.append(of_data)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def stage_state(folder: Path) -> dict[str, object]:
    """What ``stage.json`` of a stage's folder says; nothing if there is none."""
    path = folder / STAGE_FILE
    state: dict[str, object] = json.loads(path.read_text()) if path.exists() else {}
    return state


def _write_state(folder: Path, state: dict[str, object]) -> None:
    temporary = folder / f"{STAGE_FILE}.tmp"
    temporary.write_text(json.dumps(state, indent=2) + "\n")
    temporary.replace(folder / STAGE_FILE)


def _json(config: object) -> str:
    return config.model_dump_json()  # type: ignore[attr-defined, no-any-return]
