"""What Compose starts, as plain processes: a real Valkey, the publisher, the service, and a Prometheus that scrapes it.

The commands and variables are those of docker-compose.yml and the Dockerfile, with this machine's paths and ports.
"""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from model.catalog import Catalog
from tests.bundles import write_test_bundle
from tests.deploy.test_compose import JOBS, SERVICES
from tests.deploy.test_dockerfile import environment
from tests.deploy.test_monitoring import QUERIES
from tests.deploy.tools import ROOT, find_tool, read_yaml
from tests.servers import free_port, spawn, start_valkey


class Stack:
    """The containers as processes: ``/runs`` is a folder, and every name is a port of this machine."""

    def __init__(self, folder: Path, redis_url: str) -> None:
        """Nothing runs yet."""
        self.folder = folder
        self.runs = folder / "runs"
        self.port = free_port()
        self.api = f"http://127.0.0.1:{self.port}"
        self._here = {
            "MACREC_CATALOG_CACHE": str(folder / "cache"),
            "MACREC_HOST": "127.0.0.1",
            "MACREC_PORT": str(self.port),
            "REDIS_URL": redis_url,
        }

    @property
    def catalog(self) -> Catalog:
        """The catalog of the bundle that Compose publishes."""
        return Catalog.load(self.runs / "sample" / "bundle" / "catalog")

    def environment(self, service: str) -> dict[str, str]:
        """A service's variables: the image's, then Compose's, then this machine's."""
        image = {name: value for name, value in environment("serve-cpu").items() if name.startswith("MACREC_")}
        compose = {name: self._local(value) for name, value in SERVICES[service].get("environment", {}).items()}
        return {**os.environ, **image, **compose, **self._here}

    def run_job(self, name: str) -> str:
        """Runs one of Compose's jobs to its end; returns what it printed."""
        command = [sys.executable, "-m", "training", *map(self._local, SERVICES[name]["command"])]
        done = subprocess.run(command, cwd=ROOT, env=self.environment(name), stdout=subprocess.PIPE, check=True)
        return done.stdout.decode()

    def _local(self, word: str) -> str:
        return str(self.runs / word.removeprefix("/runs/")) if word.startswith("/runs/") else word

    @contextmanager
    def serve(self) -> Iterator[subprocess.Popen[bytes]]:
        """Runs the image's command until Compose's health check passes; stops it as Docker does."""
        log = self.folder / "api.log"
        api = spawn([sys.executable, "-m", "service"], log, cwd=ROOT, env=self.environment("api"))
        try:
            check = [sys.executable, *SERVICES["api"]["healthcheck"]["test"][2:]]
            deadline = time.monotonic() + 60
            while subprocess.run(check, cwd=ROOT, env=self.environment("api"), check=False).returncode:
                assert api.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
            yield api
        finally:
            if api.poll() is None:
                api.send_signal(signal.SIGTERM)
            assert api.wait(timeout=20) in (0, -signal.SIGTERM), log.read_text()


def ask(url: str, body: dict[str, Any] | None = None) -> Any:
    """The JSON that a server answers, or its text."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})  # noqa: S310
    with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310
        text: str = response.read().decode()
        return json.loads(text) if response.headers.get_content_type() == "application/json" else text


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Valkey with a published catalog, and the service that found it there; the bundle is a tiny one."""
    folder = tmp_path_factory.mktemp("stack")
    with start_valkey(folder, *SERVICES["valkey"]["command"][5:]) as valkey:
        stack = Stack(folder, valkey.url)
        write_test_bundle(stack.runs / "sample" / "bundle")
        stack.run_job("publish")
        with stack.serve():
            yield stack


def test_the_service_serves_the_catalog_that_was_published(stack: Stack) -> None:
    info = ask(f"{stack.api}/info")
    assert (info["catalog_source"], info["catalog_version"]) == ("registry", stack.catalog.version)

    events = [{"user_id": "anna", "item_id": "item-00"}, {"user_id": "anna", "item_id": "item-07"}]
    assert ask(f"{stack.api}/events", {"events": events})["added"] == 2
    answer = ask(f"{stack.api}/recommend", {"user_id": "anna", "k": 5})
    assert len(answer["items"]) == 5
    assert not {item["id"] for item in answer["items"]} & {"item-00", "item-07"}
    assert answer["degraded"] == []


def test_the_metrics_are_in_prometheus_format(stack: Stack) -> None:
    ask(f"{stack.api}/recommend", {"history": ["item-00"]})
    samples = {
        (sample.name, sample.labels.get("stage")): sample.value
        for family in text_string_to_metric_families(ask(f"{stack.api}/metrics"))
        for sample in family.samples
    }
    assert samples["macrec_stage_seconds_count", "total"] >= 1
    assert samples["macrec_catalog_items", None] == len(stack.catalog)


def test_a_real_prometheus_scrapes_the_service_and_evaluates_every_panel_and_alert(stack: Stack) -> None:
    program = find_tool("prometheus", "apt-get install prometheus")
    port = free_port()
    command = [
        program,
        f"--config.file={_prometheus_config(stack)}",
        f"--storage.tsdb.path={stack.folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    prometheus = spawn(command, stack.folder / "prometheus.log")
    try:
        _wait_for_scrapes(f"http://127.0.0.1:{port}", stack)
        for place, query in QUERIES:
            expression = query.replace("$__rate_interval", "10s").replace("$instance", ".*")
            found = _query(f"http://127.0.0.1:{port}", expression)
            assert found or place.startswith("Macrec"), f"{place} has no data: {expression}"
        alerts = ask(f"http://127.0.0.1:{port}/api/v1/alerts")["data"]["alerts"]
        assert [alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"] == []
    finally:
        prometheus.kill()
        prometheus.wait(timeout=10)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_jobs_train_the_sample_shop_publish_it_and_the_service_recommends_from_it(tmp_path: Path) -> None:
    with start_valkey(tmp_path) as valkey:
        stack = Stack(tmp_path, valkey.url)
        for job in JOBS:
            stack.run_job(job)
        with stack.serve():
            item = stack.catalog.item_ids[0]
            answer = ask(f"{stack.api}/recommend", {"history": [item], "k": 10})
    assert answer["catalog_version"] == stack.catalog.version
    assert len({recommended["title"] for recommended in answer["items"]}) == 10


def _prometheus_config(stack: Stack) -> Path:
    """The shipped configuration, with the service's address in place of Compose's name and a quicker pace."""
    config = read_yaml("deploy/prometheus.yml")
    config["global"] = {"scrape_interval": "250ms", "scrape_timeout": "250ms", "evaluation_interval": "250ms"}
    config["rule_files"] = [str(ROOT / "deploy" / "alerts.yml")]
    [job] = config["scrape_configs"]
    del job["dns_sd_configs"]
    job["static_configs"] = [{"targets": [f"127.0.0.1:{stack.port}"]}]
    path = stack.folder / "prometheus.yml"
    path.write_text(yaml.safe_dump(config))
    return path


def _wait_for_scrapes(prometheus: str, stack: Stack) -> None:
    """Sends requests until Prometheus has seen enough of them for a rate."""
    deadline = time.monotonic() + 60
    while True:
        ask(f"{stack.api}/recommend", {"history": ["item-00"]})
        try:
            if _query(prometheus, 'rate(macrec_stage_seconds_count{stage="total"}[10s]) > 0'):
                return
        except OSError:
            assert time.monotonic() < deadline, (stack.folder / "prometheus.log").read_text()
        assert time.monotonic() < deadline, ask(f"{prometheus}/api/v1/targets")
        time.sleep(0.1)


def _query(prometheus: str, expression: str) -> Any:
    """What an instant query finds."""
    answer = ask(f"{prometheus}/api/v1/query?{urllib.parse.urlencode({'query': expression})}")
    return answer["data"]["result"]
