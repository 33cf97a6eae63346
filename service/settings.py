"""Every setting of the service, from environment variables (``MACREC_...``), secrets from files."""

import hashlib
import os
from pathlib import Path
from typing import Literal, Self

from pydantic import (
    AliasChoices,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from model.bundle import Precision
from model.fusion import FusionConfig
from service.merged_searches import Merging

SECRETS_FOLDER = "MACREC_SECRETS"
DEFAULT_SECRETS_FOLDER = Path("/run/secrets")


def default_state(place: Path | None) -> Path:
    """Where a server keeps what must survive a restart, by the conventions of the desktop, for what it serves.

    Args:
        place: the bundle's folder, or else the registry's, as it is named: a symbolic link that is later set to another
            bundle stays the same place, and so does a folder into which a retrained bundle is put.
    """
    root = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "macrec"
    if place is None:
        return root
    path = os.path.abspath(place)  # noqa: PTH100 - Path.resolve would follow links
    return root / f"{Path(path).name}-{hashlib.sha256(os.fsencode(path)).hexdigest()[:12]}"


class Settings(BaseSettings):
    """Settings; each field ``x`` is the variable ``MACREC_X`` or the secret file ``macrec_x``.

    Attributes:
        bundle: folder of the bundle whose model is served; if not given, the model of the registry's current release.
        host: address to listen on.
        port: port to listen on.
        redis_url: where histories, live items and published versions are (``REDIS_URL`` works too); in memory if not
            given.
        registry: folder of a registry, for published versions without Redis or beside it.
        state: folder for histories and live items where there is no Redis, one process' own; in memory only if empty.
            By default a folder for the place that is served, the bundle's or else the registry's path, under ``macrec``
            in the user's folder for state (``XDG_STATE_HOME``, else ``~/.local/state``): what is served from another
            place is another shop, and a retrained bundle in the same place is the same.
        redis_timeout: seconds to wait for Redis to connect or answer a read.
        redis_patience: seconds that a request waits for its history in all, whatever Redis does.
        redis_write_timeout: seconds that a write waits for Redis in all.
        redis_pool: connections at most, for reads and for writes each.
        redis_pool_wait: seconds to wait for a free one.
        catalog_cache: folder for bundles and catalogs fetched from the registry, shared by processes on one machine.
        catalog_poll: seconds between two looks at the registry's current release; an announced one is seen at once.
        catalog_timeout: seconds to wait for one chunk of a bundle or catalog.
        provider: where the search runs.
        allow_cpu: whether a service that asked for CUDA may run on the CPU instead.
        precision: of the search's products; ``int8`` is faster on a CPU and not exact, and the bundle must have it.
        large_pages: whether Linux is asked for large pages for what models compute with (:mod:`service.large_pages`).
        threads: threads of one search.
        workers: requests past the queue at once; if not given, as many as cores, or as fill a group of merged searches
            while another runs.
        capture: whether a GPU captures searches of the width ``beam`` as graphs and replays them, one search or group
            at a time; no states of histories (``state_cache``) are kept then.
        merge: searches at most that run as one where several are asked for at once, which keeps a GPU busy; 1 runs each
            alone. States of histories (``state_cache``) are kept only where searches run alone.
        merge_wait: seconds that a search waits for others to run with; while others run it waits for its turn anyway.
        queue: requests that may wait for a worker.
        deadline: seconds that a request may take.
        drain: seconds that requests in flight get when the service stops.
        slo: seconds that a request should take: an edge of the latency histograms.
        k: items in an answer that does not say.
        max_k: items in an answer at most.
        beam: width of the search.
        max_beam: at most.
        max_batch: requests in a batch at most; a small queue allows fewer.
        blend_below: known items of a history below which popular items are mixed into the answer; 0 never does.
        weights: per modality, and of dense scores, for the fusion; the bundle's where nothing is said, 0 searches a
            modality not at all.
        new_after: of every answer, the first places that new items, which the generator never saw, must earn by score.
        new_every: behind those, every how-manieth place goes to the best new item; 0 gives them none.
        fusion: how the modalities' lists are joined (``MACREC_FUSION__RULE``); the bundle's way if not given.
        history_limit: events in a user's history, the latest.
        remembered_events: events of a user that are known beyond the history, so that repeated ones change nothing.
        history_ttl: seconds after its last change that a history is kept; for ever if not given.
        max_users: users kept where there is no Redis, those with the latest changes.
        max_body: bytes of a request body at most; an allow list of 100,000 ids of 36 characters takes 4 MB.
        filter_cache: bytes kept of what filters allow: about one an item and three a semantic ID for each filter.
        state_cache: bytes kept of encoded histories, where the generator can go on from them; 0 keeps none.
        max_item_body: bytes of a request body that tells of items, with their pictures, at most.
        api_key: asked for by routes that write; open to all if not given.
        log_level: of the standard library's names.
    """

    model_config = SettingsConfigDict(
        env_prefix="MACREC_", env_nested_delimiter="__", frozen=True, extra="ignore", allow_inf_nan=False
    )

    bundle: Path | None = None
    host: str = "127.0.0.1"
    port: int = 8000
    redis_url: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("redis_url", "MACREC_REDIS_URL", "REDIS_URL")
    )
    registry: Path | None = None
    state: Path | None = Field(default_factory=lambda given: default_state(given["bundle"] or given["registry"]))
    redis_timeout: PositiveFloat = 0.05
    redis_patience: PositiveFloat = 0.08
    redis_write_timeout: PositiveFloat = 1.0
    redis_pool: PositiveInt = 32
    redis_pool_wait: PositiveFloat = 0.05
    catalog_cache: Path = Path.home() / ".cache" / "macrec"
    catalog_poll: PositiveFloat = 1.0
    catalog_timeout: PositiveFloat = 5.0
    provider: Literal["cpu", "cuda"] = "cpu"
    allow_cpu: bool = False
    precision: Precision = "float32"
    large_pages: bool = True
    threads: PositiveInt = 1
    workers: PositiveInt | None = None
    capture: bool = False
    merge: PositiveInt = 1
    merge_wait: NonNegativeFloat = 0.0
    queue: PositiveInt = 64
    deadline: PositiveFloat = 1.0
    drain: NonNegativeFloat = 10.0
    slo: PositiveFloat = 0.1
    k: PositiveInt = 10
    max_k: PositiveInt = 200
    beam: PositiveInt = 20
    max_beam: PositiveInt = 200
    max_batch: PositiveInt = 32
    blend_below: NonNegativeInt = 3
    weights: dict[str, NonNegativeFloat] = {}
    new_after: NonNegativeInt = 10
    new_every: NonNegativeInt = 2
    fusion: FusionConfig | None = None
    history_limit: PositiveInt = 200
    remembered_events: NonNegativeInt = 100
    history_ttl: PositiveFloat | None = None
    max_users: PositiveInt = 100_000
    max_body: PositiveInt = 4 << 20
    filter_cache: PositiveInt = 512 << 20
    state_cache: NonNegativeInt = 256 << 20
    max_item_body: PositiveInt = 16 << 20
    api_key: SecretStr | None = None
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    @field_validator("bundle", "registry", "state", mode="before")
    @classmethod
    def _none_if_empty(cls, value: object) -> object:
        """An empty variable means no folder."""
        return value or None

    @model_validator(mode="after")
    def _check_limits(self) -> Self:
        """Defaults lie within their limits, and a search as wide as the cap can fill any answer."""
        for name, limit in (("k", "max_k"), ("beam", "max_beam"), ("max_k", "max_beam")):
            value, top = getattr(self, name), getattr(self, limit)
            if value > top:
                raise ValueError(f"{name} ({value}) must not exceed {limit} ({top})")
        return self

    @model_validator(mode="after")
    def _check_precision(self) -> Self:
        """Eight-bit products exist for CPUs alone: on a GPU each would be copied to the CPU and back."""
        if self.precision == "int8" and self.provider != "cpu":
            raise ValueError("precision int8 needs provider cpu; leave MACREC_PRECISION at float32 for cuda")
        return self

    @model_validator(mode="after")
    def _check_capture(self) -> Self:
        """A CPU would run one search at a time and gain nothing."""
        if self.capture and self.provider != "cuda":
            raise ValueError("only a GPU captures searches; set MACREC_PROVIDER=cuda, or leave MACREC_CAPTURE unset")
        return self

    @property
    def merging(self) -> Merging:
        """How searches are run as one: a GPU runs one group at a time, a CPU as many as it has cores for."""
        return Merging(self.merge, self.merge_wait, 1 if self.provider == "cuda" else self._cores)

    @property
    def parallel_runs(self) -> int:
        """Requests past the queue at once."""
        return self.workers or (self._cores if self.merge == 1 else 2 * self.merge * self.merging.runs)

    @property
    def _cores(self) -> int:
        """Searches that the machine's cores can run at once."""
        return max(1, len(os.sched_getaffinity(0)) // self.threads)


def load_settings() -> Settings:
    """Settings of this process; secret files are read from ``MACREC_SECRETS`` (``/run/secrets``) if it exists.

    Raises:
        pydantic.ValidationError: if a variable cannot be used; the message names it.
    """
    folder = Path(os.environ.get(SECRETS_FOLDER, DEFAULT_SECRETS_FOLDER))
    return Settings(_secrets_dir=folder if folder.is_dir() else None)
