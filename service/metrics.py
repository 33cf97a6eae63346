"""Every metric of the service, in a registry of its own; labels come from small closed sets only."""

import time

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

STAGES = ("queue", "store", "filter", "prepare", "search", "fuse", "total")
ITEM_WRITES = ("stored", "unchanged", "refused", "failed")
BUCKETS = (0.001, 0.002, 0.003, 0.004, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1.0, 2.5)


class Metrics:
    """The service's metrics.

    Attributes:
        stage: seconds of each stage of a recommendation; the buckets have an edge on the SLO.
        requests: requests by route template, method and status.
        queued: requests that wait for a worker.
        in_flight: searches that run.
        rejected: requests refused at admission.
        expired: requests whose deadline passed.
        abandoned: requests whose client left while they waited.
        unknown_items: items of histories that the catalog lacks.
        fallbacks: answers with popular items because no item of the history was known.
        filters: requests with a filter, by whether what it allows was known already.
        filter_bytes: bytes kept of what filters allow.
        history_states: answers, by whether the history's beginning was encoded for an earlier one.
        history_state_bytes: bytes kept of encoded histories.
        captured_graphs: sizes of searches that a GPU replays.
        blended: answers with popular items among the generated ones because little of the history was known.
        new_items: recommended items that came after training and were given their places.
        batch_rows: requests that came in batches, by what came of them.
        degraded: 1 while something is missing, by what.
        events: events stored, without repeated ones.
        ignored_events: events that changed nothing: repeated ones, and ones too old for a full history.
        deleted_users: users that were asked to be forgotten.
        store_write: seconds until a write of histories was acknowledged.
        failed_writes: writes of histories that were refused because they could not be made durable.
        history_users: users whose histories this process keeps.
        history_file_bytes: size of the file of histories.
        compactions: rewritings of that file, by what came of them.
        live_changes: changes of items that were folded into the catalog.
        live_apply: seconds that folding changes into the catalog took.
        live_sequence: up to which number of the live log the catalog is current.
        live_items: items that were added or changed after the catalog was made.
        item_writes: changes of items that were asked for, by what came of them.
        swaps: catalogs that were to replace the live one, by what came of it.
    """

    def __init__(self, slo: float) -> None:
        """Makes all metrics; ``slo`` in seconds becomes a bucket's edge."""
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        buckets = sorted({*BUCKETS, slo})
        self.stage = Histogram(
            "macrec_stage_seconds",
            "Seconds of each stage of a recommendation.",
            ["stage"],
            buckets=buckets,
            registry=self.registry,
        )
        self.requests = Counter(
            "macrec_requests", "Requests answered.", ["route", "method", "status"], registry=self.registry
        )
        self.queued = self._gauge("macrec_queued_requests", "Admitted requests that wait for a worker.")
        self.in_flight = self._gauge("macrec_in_flight_searches", "Searches that run.")
        self.rejected = Counter("macrec_rejected", "Requests refused at admission.", ["reason"], registry=self.registry)
        self.expired = self._counter("macrec_expired", "Requests whose deadline passed.")
        self.abandoned = self._counter("macrec_abandoned", "Requests whose client left while they waited.")
        self.unknown_items = self._counter("macrec_unknown_items", "Items of histories that the catalog lacks.")
        self.fallbacks = self._counter("macrec_fallbacks", "Answers with popular items for want of a known history.")
        self.filters = Counter("macrec_filters", "Requests with a filter.", ["result"], registry=self.registry)
        self.filter_bytes = self._gauge("macrec_filter_cache_bytes", "Bytes kept of what filters allow.")
        self.history_states = Counter(
            "macrec_history_states", "Answers by whether a state was known.", ["result"], registry=self.registry
        )
        self.merged_searches = Histogram(
            "macrec_merged_searches",
            "Searches in the run that answered a request.",
            buckets=[1, 2, 4, 8, 16, 32, 64],
            registry=self.registry,
        )
        self.history_state_bytes = self._gauge("macrec_history_state_bytes", "Bytes kept of encoded histories.")
        self.captured_graphs = self._gauge("macrec_captured_graphs", "Sizes of searches that a GPU replays.")
        self.blended = self._counter("macrec_blended", "Answers with popular items among generated ones.")
        self.new_items = self._counter("macrec_new_items_recommended", "New items that were given places in answers.")
        self.batch_rows = Counter(
            "macrec_batch_rows", "Requests that came in batches.", ["result"], registry=self.registry
        )
        self.events = self._counter("macrec_events", "Events stored.")
        self.ignored_events = self._counter("macrec_ignored_events", "Events that changed nothing.")
        self.deleted_users = self._counter("macrec_deleted_users", "Users forgotten on request.")
        self.store_write = Histogram(
            "macrec_store_write_seconds",
            "Seconds until a write of histories was acknowledged.",
            buckets=BUCKETS,
            registry=self.registry,
        )
        self.failed_writes = self._counter("macrec_failed_writes", "Writes of histories that were refused.")
        self.history_users = self._gauge("macrec_history_users", "Users whose histories this process keeps.")
        self.history_file_bytes = self._gauge("macrec_history_file_bytes", "Size of the file of histories.")
        self.compactions = Counter(
            "macrec_history_compactions", "Rewritings of the file of histories.", ["result"], registry=self.registry
        )
        self.live_changes = self._counter("macrec_live_changes", "Changes of items folded into the catalog.")
        self.live_apply = Histogram(
            "macrec_live_apply_seconds",
            "Seconds that folding changes of items into the catalog took.",
            buckets=BUCKETS,
            registry=self.registry,
        )
        self.live_sequence = self._gauge("macrec_live_sequence", "Number of the latest change in the catalog.")
        self.live_items = self._gauge("macrec_live_items", "Items added or changed after the catalog was made.")
        self.item_writes = Counter(
            "macrec_item_writes", "Changes of items asked for.", ["result"], registry=self.registry
        )
        self.swaps = Counter(
            "macrec_catalog_swaps", "Catalogs loaded beside the live one.", ["result"], registry=self.registry
        )
        self.degraded = Gauge("macrec_degraded", "1 while something is missing.", ["reason"], registry=self.registry)
        self._items = self._gauge("macrec_catalog_items", "Items in the catalog.")
        self._age = self._gauge("macrec_catalog_age_seconds", "Seconds since the catalog was loaded.")
        self._info = Info("macrec_serving", "What is served.", registry=self.registry)
        self._init_labels()

    def show_catalog(self, items: int, catalog_version: str, model_version: str, provider: str) -> None:
        """Shows what is served from now on."""
        loaded = time.monotonic()
        self._items.set(items)
        self._age.set_function(lambda: time.monotonic() - loaded)
        self._info.info({"catalog_version": catalog_version, "model_version": model_version, "provider": provider})

    def show_live(self, items: int, live_items: int, sequence: int) -> None:
        """Shows how many items are there, how many of them are new or changed, and how far the live log is in them."""
        self._items.set(items)
        self.live_items.set(live_items)
        self.live_sequence.set(sequence)

    def render(self) -> bytes:
        """The metrics in Prometheus' text format."""
        return generate_latest(self.registry)

    def _init_labels(self) -> None:
        """Shows series with a closed set of labels as 0 from the start, so that rates and alerts have data."""
        for stage in STAGES:
            self.stage.labels(stage=stage)
        for reason in ("queue_full", "draining", "starting"):
            self.rejected.labels(reason=reason)
        for result in ("swapped", "failed"):
            self.swaps.labels(result=result)
        for result in ("answered", "failed"):
            self.batch_rows.labels(result=result)
        for result in ("done", "failed"):
            self.compactions.labels(result=result)
        for result in ("hit", "miss"):
            self.filters.labels(result=result)
            self.history_states.labels(result=result)
        for result in ITEM_WRITES:
            self.item_writes.labels(result=result)
        for reason in ("catalog", "histories", "live"):
            self.degraded.labels(reason=reason)

    def _gauge(self, name: str, text: str) -> Gauge:
        """A gauge without labels."""
        return Gauge(name, text, registry=self.registry)

    def _counter(self, name: str, text: str) -> Counter:
        """A counter without labels; its series ends in ``_total``."""
        return Counter(name, text, registry=self.registry)
