"""Dashboard and alerts ask only for metrics, labels and values that the service has; no panel says "No data"."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client import Metric

from service.metrics import STAGES, Metrics
from service.settings import Settings
from tests.deploy.tools import ROOT, find_tool, read_yaml, run_tool

DASHBOARD = json.loads((ROOT / "deploy/grafana/dashboards/macrec.json").read_text())
RULES: list[dict[str, Any]] = read_yaml("deploy/alerts.yml")["groups"][0]["rules"]
PROVISIONING = "deploy/grafana/provisioning"
FROM_PROMETHEUS = {"up"}
LABELS_FROM_PROMETHEUS = {"job", "instance"}


def expressions() -> Iterator[tuple[str, str]]:
    """Every query that is shipped, with where it stands."""
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    for variable in DASHBOARD["templating"]["list"]:
        yield variable["name"], variable["query"]["query"].removeprefix("label_values(").split(",")[0]
    for rule in RULES:
        yield rule["alert"], rule["expr"]


QUERIES = list(expressions())


@pytest.fixture(scope="module")
def families() -> list[Metric]:
    """What a service that has answered a request exposes."""
    metrics = Metrics(Settings().slo)
    metrics.requests.labels(route="/recommend", method="POST", status="200").inc()
    metrics.show_catalog(1, "catalog", "model", "cpu")
    return list(metrics.registry.collect())


@pytest.fixture(scope="module")
def series(families: list[Metric]) -> dict[str, set[str]]:
    """The labels of every series by its name."""
    return {sample.name: set(sample.labels) for family in families for sample in family.samples}


@pytest.mark.parametrize(("place", "query"), QUERIES, ids=[place for place, _ in QUERIES])
def test_every_query_asks_for_series_that_exist(place: str, query: str, series: dict[str, set[str]]) -> None:
    names = set(re.findall(r"\b(?:macrec|process|python)_\w+|\bup\b", query))
    assert names, f"{place} asks for nothing: {query}"
    assert names <= set(series) | FROM_PROMETHEUS


@pytest.mark.parametrize(("place", "query"), QUERIES, ids=[place for place, _ in QUERIES])
def test_every_selector_and_grouping_names_labels_that_exist(
    place: str, query: str, series: dict[str, set[str]]
) -> None:
    labels = set().union(*(series.get(name, set()) for name in re.findall(r"\w+", query))) | LABELS_FROM_PROMETHEUS
    selected = re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", query)
    grouped = [name.strip() for group in re.findall(r"\bby \(([^)]*)\)", query) for name in group.split(",")]
    assert set(selected) | set(grouped) <= labels, place


def test_every_stage_that_is_asked_for_is_measured() -> None:
    asked = {stage for _, query in QUERIES for stage in re.findall(r'stage!?="(\w+)"', query)}
    assert asked <= set(STAGES)


def test_every_reason_and_result_that_is_asked_for_can_occur(families: list[Metric]) -> None:
    values = {value for family in families for sample in family.samples for value in sample.labels.values()}
    asked = {value for _, query in QUERIES for value in re.findall(r'(?:reason|result)="(\w+)"', query)}
    assert asked <= values


def test_the_latency_objective_is_an_edge_of_the_histogram(families: list[Metric]) -> None:
    edges = {sample.labels["le"] for family in families for sample in family.samples if "le" in sample.labels}
    asked = {edge for _, query in QUERIES for edge in re.findall(r'le="([\d.]+)"', query)}
    assert asked == {str(Settings().slo)} <= edges


def test_every_panel_reads_the_provisioned_source_and_has_its_own_place() -> None:
    [source] = read_yaml(f"{PROVISIONING}/datasources/prometheus.yml")["datasources"]
    used = {target["datasource"]["uid"] for panel in DASHBOARD["panels"] for target in panel["targets"]}
    assert used == {source["uid"]}
    cells = [
        (panel["gridPos"]["x"] + column, panel["gridPos"]["y"] + row)
        for panel in DASHBOARD["panels"]
        for column in range(panel["gridPos"]["w"])
        for row in range(panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(column for column, _ in cells) < 24
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_every_alert_says_what_to_look_at() -> None:
    assert all(rule["annotations"]["summary"] and rule["labels"]["severity"] in {"page", "ticket"} for rule in RULES)


def test_promtool_accepts_the_configuration_and_the_rules() -> None:
    promtool = find_tool("promtool", "apt-get install prometheus")
    run_tool(promtool, "check", "config", "deploy/prometheus.yml")
    run_tool(promtool, "check", "rules", "--lint-fatal", "deploy/alerts.yml")


def test_the_alerts_fire_when_they_should_and_only_then() -> None:
    run_tool(find_tool("promtool", "apt-get install prometheus"), "test", "rules", "tests/deploy/alerts_test.yml")
