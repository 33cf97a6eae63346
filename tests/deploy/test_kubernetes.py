"""The Kubernetes manifests are valid, select one another, and give a busy replica time to answer."""

from pathlib import Path
from typing import Any

import pytest

from service.settings import Settings
from tests.deploy.tools import ROOT, find_tool, read_yaml, run_tool

FOLDER = "deploy/kubernetes"
FILES: list[str] = read_yaml(f"{FOLDER}/kustomization.yaml")["resources"]
MANIFESTS: dict[str, dict[str, Any]] = {
    manifest["kind"]: manifest for manifest in (read_yaml(f"{FOLDER}/{name}") for name in FILES)
}
POD: dict[str, Any] = MANIFESTS["Deployment"]["spec"]["template"]
CONTAINER: dict[str, Any] = POD["spec"]["containers"][0]
LABELS = {"app.kubernetes.io/name": "macrec"}


@pytest.mark.parametrize("name", FILES)
def test_a_manifest_is_valid(name: str) -> None:
    run_tool(find_tool("kubernetes-validate", "pip install kubernetes-validate"), "--strict", f"{FOLDER}/{name}")


def test_kustomize_builds_all_of_them() -> None:
    built = run_tool(find_tool("kubectl", "kubernetes.io/docs/tasks/tools"), "kustomize", FOLDER)
    assert built.count("\nkind: ") == len(FILES)


def test_every_manifest_is_listed() -> None:
    assert {path.name for path in (ROOT / FOLDER).glob("*.yaml")} == {*FILES, "kustomization.yaml"}


def test_every_selector_selects_the_pods() -> None:
    assert POD["metadata"]["labels"] == LABELS
    assert MANIFESTS["Service"]["spec"]["selector"] == LABELS
    assert MANIFESTS["NetworkPolicy"]["spec"]["podSelector"] == {"matchLabels": LABELS}
    for kind in ("Deployment", "PodDisruptionBudget"):
        assert MANIFESTS[kind]["spec"]["selector"] == {"matchLabels": LABELS}
    target = MANIFESTS["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", MANIFESTS["Deployment"]["metadata"]["name"])


def test_every_variable_is_a_setting() -> None:
    names = {name.removeprefix("MACREC_").lower() for name in MANIFESTS["ConfigMap"]["data"]}
    assert names - {"secrets"} <= set(Settings.model_fields)


def test_the_secret_is_read_from_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [mount] = [mount for mount in CONTAINER["volumeMounts"] if mount["name"] == "secrets"]
    assert MANIFESTS["ConfigMap"]["data"]["MACREC_SECRETS"] == mount["mountPath"]
    monkeypatch.delenv("REDIS_URL", raising=False)
    (tmp_path / "redis_url").write_text("redis://:hidden@redis:6379/0")
    settings = Settings(_secrets_dir=tmp_path)
    assert settings.redis_url is not None
    assert settings.redis_url.get_secret_value() == "redis://:hidden@redis:6379/0"


def test_probes_ask_for_life_and_readiness_and_wait_longer_than_a_second() -> None:
    paths = {
        probe: CONTAINER[probe]["httpGet"]["path"] for probe in ("startupProbe", "readinessProbe", "livenessProbe")
    }
    assert paths == {"startupProbe": "/readyz", "readinessProbe": "/readyz", "livenessProbe": "/livez"}
    assert all(CONTAINER[probe]["timeoutSeconds"] >= 5 for probe in paths)


def test_a_replica_has_time_to_drain() -> None:
    pause = float(CONTAINER["lifecycle"]["preStop"]["exec"]["command"][1])
    drain = float(MANIFESTS["ConfigMap"]["data"]["MACREC_DRAIN"])
    assert POD["spec"]["terminationGracePeriodSeconds"] > pause + drain


def test_a_replica_has_as_many_workers_as_cpus() -> None:
    assert MANIFESTS["ConfigMap"]["data"]["MACREC_WORKERS"] == CONTAINER["resources"]["requests"]["cpu"]


def test_a_replica_has_no_rights_and_writes_only_where_it_may() -> None:
    user = POD["spec"]["securityContext"]["runAsUser"]
    assert f"USER {user}:{user}" in (ROOT / "Dockerfile").read_text()
    assert CONTAINER["securityContext"]["readOnlyRootFilesystem"]
    assert {mount["mountPath"] for mount in CONTAINER["volumeMounts"] if not mount.get("readOnly")} == {
        "/tmp",  # noqa: S108 - the container's own
        "/var/cache/macrec",
    }
