"""Runs the search graph with ONNX Runtime: rows of history tokens in, trie leaves and scores out.

It knows neither items nor users. The trie is an input of the graph, so one engine serves any catalog of its ID space.
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from pydantic import ValidationError

from model.catalog_header import SpaceSizes
from model.cold_start import cold_edges
from model.errors import BundleError, ConfigError
from model.exclusions import NO_EDGE
from model.history_tokens import as_position, tokens_per_item
from model.semantic_ids import IdSpace
from model.slots import slot_inputs, slot_names
from model.trie import Trie
from service.captured_runs import CapturedRuns
from service.fixed_sizes import TrieRoom, pad_rows
from service.history_states import SHORTEST_KNOWN, HistoryStates
from service.merged_searches import MergedSearches, Merging
from service.search_rows import Leaves, SearchRows, TrieInputs, join_rows
from service.session import PROVIDERS, open_session

OUTPUTS = ["nodes", "scores"]
ALONE = Merging()


class Engine:
    """One ONNX Runtime session; threads may share it."""

    def __init__(
        self,
        path: Path,
        provider: str = "cpu",
        allow_cpu: bool = False,
        threads: int = 1,
        state_bytes: int = 0,
        merging: Merging = ALONE,
        capture: int = 0,
    ) -> None:
        """Loads a generator.

        Args:
            path: ``generator.onnx``.
            provider: ``cpu`` or ``cuda``.
            allow_cpu: whether the CPU will do where CUDA was asked for and cannot run.
            threads: threads of one run.
            state_bytes: bytes kept of the states of encoded histories, if the generator can go on from them. Where
                searches are merged or captured none are: their histories' beginnings would be of different lengths.
            merging: how searches that threads ask for at once are run as one.
            capture: the width of searches that are captured and replayed (:mod:`service.captured_runs`), 0 for none;
                not by a CPU that stands in for a GPU, where they would only wait for each other.

        Raises:
            BundleError: if the file is unreadable, lacks an input, does not name its ID space or cannot be captured.
            ConfigError: if the provider is not there and the CPU was not allowed.
        """
        self._session = open_session(path, provider, threads, capture > 0)
        self.provider = str(self._session.get_providers()[0])
        if self.provider != PROVIDERS[provider] and not allow_cpu:
            raise ConfigError(
                f"the search would run on {self.provider} where {PROVIDERS[provider]} was asked for: install "
                "onnxruntime-gpu and a CUDA driver, or allow the CPU (MACREC_ALLOW_CPU=true)"
            )
        self._device = "cuda" if self.provider == PROVIDERS["cuda"] else "cpu"
        self._captured_width = capture if self.provider == PROVIDERS[provider] else 0
        inputs = {each.name: each for each in self._session.get_inputs()}
        if "history" not in inputs:
            raise BundleError(f"{path} is of a time when every list read a history of its own: export it again")
        properties = self._session.get_modelmeta().custom_metadata_map
        try:
            self.space: IdSpace = SpaceSizes.model_validate_json(properties["id_space"]).space()
            self.space_hash: str = properties["space_hash"]
            self.max_history = int(properties["max_history"])
            self.position = as_position(properties["history_position"])
        except (ConfigError, KeyError, ValidationError, ValueError) as error:
            raise BundleError(f"{path} does not say what it was made for ({error}); export it again") from error
        self.dense = properties.get("dense") == "true"
        self._outputs = [*OUTPUTS, *(("affinities",) if self.dense else ())]
        self._state_width: int | None = inputs["past"].shape[2] if "past" in inputs else None
        # Graphs of earlier exports look at all M codes of every node.
        self._reads_slots = slot_names(1)[0] in inputs
        self._merging = merging
        self._merged = MergedSearches(self._search, merging) if merging.most > 1 else None
        self._captured = CapturedRuns(self._session, self._device, self._outputs) if self._captured_width else None
        self._room = TrieRoom(self.space.levels)
        kept = state_bytes if self._merged is None and self._captured is None else 0
        self.states = HistoryStates(self._state_width, kept) if self._state_width and kept else None

    def prepare(self, trie: Trie, trained: NDArray[np.bool_]) -> TrieInputs:
        """Puts a trie where the search runs; on the CPU the arrays are not copied.

        Args:
            trie: the catalog's.
            trained: ``(N,)``, which of its items the generator saw in training.
        """
        return self.place(trie, cold_edges(trie, trained))

    def place(self, trie: Trie, edge_cold: NDArray[np.bool_]) -> TrieInputs:
        """As :meth:`prepare`, given the edges ``(E,)`` that lead to no trained item."""
        arrays: dict[str, NDArray[Any]] = {
            "child_start": trie.child_start,
            "child_code": trie.child_code,
            "edge_allowed": np.ones(len(trie.child_code), dtype=np.bool_),
            "edge_cold": edge_cold,
        }
        if self._reads_slots:
            arrays |= slot_inputs(trie.fan_outs)
        if self._captured is not None:
            arrays = self._room.fill(arrays)
        return TrieInputs({name: self._value(array) for name, array in arrays.items()}, trie.first_leaf, edge_cold)

    def restrict(self, trie: TrieInputs, edge_allowed: NDArray[np.bool_]) -> TrieInputs:
        """The same trie with a filter: ``(E,)`` bool, the edges that lead to allowed items."""
        behind = trie.values["edge_allowed"].shape()[0] - len(edge_allowed)
        filled = np.pad(edge_allowed, (0, behind)) if behind else edge_allowed
        return trie._replace(values=trie.values | {"edge_allowed": self._value(filled)})

    def search(self, trie: TrieInputs, rows: SearchRows) -> Leaves:
        """Searches all rows in one run, with others' if searches are merged; the interpreter is free meanwhile."""
        return self._search(trie, rows) if self._merged is None else self._merged.search(trie, rows)

    @property
    def graphs(self) -> int:
        """Captured graphs that searches replay."""
        return 0 if self._captured is None else self._captured.graphs

    def warm(self, trie: TrieInputs) -> None:
        """Captures searches of all lengths of histories, in all lists and groups of all sizes, ahead of need."""
        if self._captured is None:
            return
        modalities = np.arange(len(self.space.modalities))
        read = 1 if self.position == "item" else len(modalities)
        history = np.zeros_like(modalities) if read == 1 else modalities
        dead = np.full((len(modalities), self.space.levels, 1), NO_EDGE, dtype=np.int32)
        for items in reversed(_doublings(self.max_history)):
            tokens = np.full((read, items * tokens_per_item(self.space, self.position)), self.space.token_offset(0, 0))
            rows = SearchRows(tokens, modalities, dead, self._captured_width, history)
            for searches in _doublings(self._merging.most):
                group = join_rows([rows] * searches)
                for _ in range(2):
                    self._search(trie, group)

    def _search(self, trie: TrieInputs, rows: SearchRows) -> Leaves:
        """One run of the graph."""
        if self._captured is not None:
            return self._replay(trie, rows, self._captured)
        arrays = self._arrays(rows)
        if self.states is not None and len(rows.tokens) == 1:
            return self._continue(trie, arrays, self.states)
        return self._leaves(trie, self._run(trie, arrays))

    def _replay(self, trie: TrieInputs, rows: SearchRows, captured: CapturedRuns) -> Leaves:
        """One run of a captured graph, which may be of more rows; searches of another width run as they are."""
        capture = rows.beam == self._captured_width
        padded = pad_rows(rows, tokens_per_item(self.space, self.position), self.max_history) if capture else rows
        found = captured.run(trie.values, self._arrays(padded), capture)
        given = {name: array[: len(rows.modality)] for name, array in found.items()}
        if self.dense:
            given["affinities"] = found["affinities"][: len(rows.tokens)]
        return self._leaves(trie, given)

    def _arrays(self, rows: SearchRows) -> dict[str, NDArray[Any]]:
        """What the graph reads of rows."""
        arrays: dict[str, NDArray[Any]] = {
            "tokens": rows.tokens,
            "modality": rows.modality,
            "dead_edges": rows.dead_edges,
            "beam": np.zeros(rows.beam, dtype=np.int64),
            "history": rows.histories,
        }
        if self._state_width is not None:
            arrays["past"] = np.zeros((len(rows.tokens), 0, self._state_width), dtype=np.float32)
        return arrays

    def _continue(self, trie: TrieInputs, arrays: dict[str, NDArray[Any]], states: HistoryStates) -> Leaves:
        """Encodes what is not known of a single history; several would have beginnings of different lengths."""
        items = arrays["tokens"].reshape(-1, tokens_per_item(self.space, self.position))
        known = states.of_beginning(items)
        arrays |= {"tokens": items[len(known) :].reshape(1, -1), "past": known[np.newaxis]}
        found = self._run(trie, arrays, "states")
        states.keep(items, found["states"][0])
        return self._leaves(trie, found, bool(len(known)) if len(items) >= SHORTEST_KNOWN else None)

    def _leaves(self, trie: TrieInputs, found: dict[str, NDArray[Any]], states_known: bool | None = None) -> Leaves:
        """Leaves of nodes, -1 where there is none, and what came with them."""
        leaves = np.where(found["nodes"] >= 0, found["nodes"] - trie.first_leaf, -1)
        return Leaves(leaves, found["scores"], found.get("affinities"), states_known)

    def _run(self, trie: TrieInputs, arrays: dict[str, NDArray[Any]], *more: str) -> dict[str, NDArray[Any]]:
        """What the graph answers: nodes, scores, affinities if they are of use, and ``more``."""
        values = trie.values | {name: self._value(array) for name, array in arrays.items()}
        outputs = [*self._outputs, *more]
        found = self._session.run_with_ort_values(outputs, values)
        return {name: value.numpy() for name, value in zip(outputs, found, strict=True)}

    def _value(self, array: NDArray[Any]) -> ort.OrtValue:
        """An array on the session's device."""
        if self._captured is not None:
            return self._captured.place(array)
        return ort.OrtValue.ortvalue_from_numpy(array, self._device, 0)


def _doublings(most: int) -> list[int]:
    """1, 2, 4 and so on below ``most``, and ``most``."""
    return [*(1 << power for power in range((most - 1).bit_length())), most]
