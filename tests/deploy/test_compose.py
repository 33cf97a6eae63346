"""The Compose file builds what the Dockerfile has, sets what the service reads, and starts in the right order."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from service.settings import Settings
from tests.deploy.test_dockerfile import STAGES, environment
from tests.deploy.tools import ROOT, find_tool, read_yaml, run_tool
from training.__main__ import _parser

COMPOSE: dict[str, Any] = read_yaml("docker-compose.yml")
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
GPU: dict[str, dict[str, Any]] = read_yaml("deploy/compose.gpu.yml")["services"]
JOBS = ("sample", "train", "publish")
OURS = {"api", *JOBS}


def mounts() -> Iterator[tuple[str, str, str]]:
    """Service, source and target of every volume."""
    for name, service in SERVICES.items():
        for volume in service.get("volumes", []):
            source, target = volume.split(":")[:2]
            yield name, source, target


@pytest.mark.parametrize("path", ["docker-compose.yml", "deploy/compose.gpu.yml"])
def test_the_file_follows_the_specification(path: str) -> None:
    linter = find_tool("check-jsonschema", "pip install check-jsonschema")
    run_tool(linter, "--builtin-schema", "vendor.compose-spec", path)


def test_every_build_target_is_a_stage() -> None:
    targets = {service["build"]["target"] for service in [*SERVICES.values(), GPU["api"]] if "build" in service}
    assert targets == {"serve-cpu", "serve-gpu", "train"} <= set(STAGES)
    assert f"venv-torch-{GPU['train']['build']['args']['TORCH']}" in STAGES


def test_every_variable_of_the_service_is_a_setting() -> None:
    names = set(SERVICES["api"]["environment"]) - {"REDIS_URL"}
    assert {name.removeprefix("MACREC_").lower() for name in names} <= set(Settings.model_fields)


def test_server_and_publisher_use_the_same_redis() -> None:
    urls = {SERVICES[name]["environment"]["REDIS_URL"] for name in ("api", "publish")}
    assert urls == {"redis://valkey:6379/0"}


def test_the_bundle_is_where_training_leaves_it_and_the_api_takes_it_from_redis() -> None:
    train, publish = SERVICES["train"]["command"], SERVICES["publish"]["command"]
    out = train[train.index("--out") + 1]
    assert publish[publish.index("--bundle") + 1] == f"{out}/bundle"
    folder = {name: target for name, source, target in mounts() if source == "runs"}
    assert folder == dict.fromkeys(JOBS, "/runs")
    assert "MACREC_BUNDLE" not in SERVICES["api"]["environment"] | environment("serve-cpu")


@pytest.mark.parametrize("job", JOBS)
def test_every_job_is_a_command_of_the_training(job: str) -> None:
    arguments = _parser().parse_args(SERVICES[job]["command"])
    assert callable(arguments.run)
    assert (ROOT / getattr(arguments, "config", "training")).exists()


def test_training_reads_what_the_sample_job_writes() -> None:
    sample, train = (_parser().parse_args(SERVICES[job]["command"]) for job in ("sample", "train"))
    assert train.data == sample.out


def test_the_api_waits_for_the_published_catalog() -> None:
    assert SERVICES["api"]["depends_on"]["publish"] == {"condition": "service_completed_successfully"}
    assert SERVICES["publish"]["depends_on"] == {
        "train": {"condition": "service_completed_successfully"},
        "valkey": {"condition": "service_healthy"},
    }
    assert SERVICES["train"]["depends_on"] == {"sample": {"condition": "service_completed_successfully"}}
    assert all("restart" not in SERVICES[job] for job in JOBS)


def test_the_jobs_share_one_image_that_is_built_once() -> None:
    assert {SERVICES[job]["image"] for job in JOBS} == {SERVICES["train"]["image"]}
    assert [job for job in JOBS if "build" in SERVICES[job]] == ["train"]


def test_no_image_of_ours_is_ever_pulled() -> None:
    policies = {name: SERVICES[name]["pull_policy"] for name in OURS}
    assert policies == {"api": "build", "train": "build", "sample": "never", "publish": "never"}


def test_everything_that_is_mounted_exists() -> None:
    for name, source, _ in mounts():
        if source.startswith("."):
            assert (ROOT / source).exists(), f"{name} mounts {source}"
        else:
            assert source in COMPOSE["volumes"], f"{name} mounts {source}"


def test_every_volume_is_used() -> None:
    assert set(COMPOSE["volumes"]) == {source for _, source, _ in mounts() if not source.startswith(".")}


def test_nothing_is_open_to_other_machines_and_the_store_to_nobody() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert "ports" not in SERVICES["valkey"]
    assert COMPOSE["networks"]["store"] == {"internal": True}
    assert {name for name, service in SERVICES.items() if "store" in service.get("networks", [])} == {
        "valkey",
        "publish",
        "api",
    }


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_every_container_is_limited_and_cannot_gain_rights(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["deploy"]["resources"]["limits"]["memory"]
    assert name in OURS or re.search(r":v?\d+\.\d+", service["image"]), "an image of others needs a version"


def test_workers_match_the_cpus_and_draining_fits_into_the_grace_period() -> None:
    api = SERVICES["api"]
    assert api["environment"]["MACREC_WORKERS"] == api["deploy"]["resources"]["limits"]["cpus"]
    assert float(api["stop_grace_period"].removesuffix("s")) > Settings().drain


def test_prometheus_scrapes_the_port_that_the_service_has() -> None:
    [job] = read_yaml("deploy/prometheus.yml")["scrape_configs"]
    [discovery] = job["dns_sd_configs"]
    assert set(discovery["names"]) <= set(SERVICES)
    assert f"MACREC_PORT={discovery['port']}" in (ROOT / "Dockerfile").read_text().split()
    assert SERVICES["api"]["ports"] == [f"127.0.0.1:${{PORT:-8000}}:{discovery['port']}"]
