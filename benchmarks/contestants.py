"""Ways to search the same IDs with the same weights: this project's graph, torch eager, Hugging Face, CTranslate2.

Each takes a request of item numbers and finds leaves of one trie. What is timed includes the making of its inputs from
items; what makes results comparable is not timed.
"""

import importlib.util
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import T5ForConditionalGeneration

from model.beam_search import ConstrainedBeamSearch
from model.bundle import GENERATOR_INT8_FILE
from model.generator import Generator, GeneratorConfig
from model.generator_shape import GeneratorShape
from model.history_tokens import history_tokens
from model.semantic_ids import PAD, IdSpace
from model.transformer_config import TransformerSizes
from model.trie import Trie
from model.trie_walk import walk
from service.engine import Engine
from service.search_rows import Leaves, SearchRows
from tests.bundles import export_generator, graph_properties
from tests.hugging_face import as_t5
from training.onnx_int8 import quantize_search
from training.onnx_search import Found

MAX_HISTORY = 20
INT8 = "graph, int8"
NO_EDGES = -1


class Items(NamedTuple):
    """The catalog that all search: codes ``(m, N, L)`` and their trie."""

    space: IdSpace
    codes: NDArray[np.uint8]
    trie: Trie


class Request(NamedTuple):
    """A history of items, oldest first, the modalities whose lists are asked for, and the beam width."""

    history: NDArray[np.int64]
    modalities: tuple[int, ...]
    beam: int


class Contestant(ABC):
    """One way to search; what ``run`` returns, which is timed, ``found`` makes comparable."""

    def prepare(self, request: Request) -> None:  # noqa: B027 (most have nothing to prepare)
        """What happened before the request came, which is not timed."""

    @abstractmethod
    def run(self, request: Request) -> Any:
        """Searches."""

    @abstractmethod
    def found(self, result: Any, request: Request) -> Found:
        """Nodes, -1 where no item has the ID, and mean log-probabilities per code, both ``(m, W)``."""


def tokens_of(items: Items, shape: GeneratorShape, request: Request) -> NDArray[np.int64]:
    """History tokens ``(m, S)``, one row for each modality, or ``(1, S)`` where a position is an item."""
    codes = {modality: items.codes[modality, request.history] for modality in range(len(items.space.modalities))}
    read = request.modalities[:1] if shape.position == "item" else request.modalities
    rows = [history_tokens(items.space, shape.position, modality, codes).ravel() for modality in read]
    return np.stack(rows)


class Graph(Contestant):
    """This project: one ONNX graph, run by the service's engine."""

    def __init__(self, engine: Engine, items: Items, shape: GeneratorShape) -> None:
        """Searches ``items`` with an exported generator of some shape."""
        self._engine, self._items, self._shape = engine, items, shape
        self._trie = engine.prepare(items.trie, np.ones(items.codes.shape[1], dtype=np.bool_))

    def run(self, request: Request) -> Any:
        """Leaves and scores."""
        return self.search(self.rows(request))

    def search(self, rows: SearchRows) -> Leaves:
        """One run of the graph."""
        return self._engine.search(self._trie, rows)

    def rows(self, request: Request) -> SearchRows:
        """A request as the service asks for it."""
        tokens = tokens_of(self._items, self._shape, request)
        return SearchRows(
            tokens=tokens,
            modality=np.array(request.modalities, dtype=np.int64),
            dead_edges=np.full((len(request.modalities), self._items.space.levels, 1), NO_EDGES, dtype=np.int32),
            beam=request.beam,
            history=np.arange(len(request.modalities)) % len(tokens),
        )

    def found(self, result: Any, _request: Request) -> Found:
        """Nodes of leaves."""
        leaves, scores, *_ = result
        return Found(np.where(leaves >= 0, leaves + self._items.trie.first_leaf, -1), scores)


class ContinuedGraph(Graph):
    """The graph where all events of the history but the last were encoded for an earlier request."""

    def prepare(self, request: Request) -> None:
        """Recommends as before the last event."""
        self.run(request._replace(history=request.history[:-1]))


class Eager(Contestant):
    """The module that the graph is exported from, run by torch."""

    def __init__(self, search: ConstrainedBeamSearch, items: Items) -> None:
        """Searches ``items`` with a module in eval mode."""
        self._search, self._items = search, items
        trie, edges = items.trie, len(items.trie.child_code)
        self._trie = torch.from_numpy(trie.child_start), torch.from_numpy(trie.child_code)
        self._allowed, self._cold = torch.ones(edges, dtype=torch.bool), torch.zeros(edges, dtype=torch.bool)

    def run(self, request: Request) -> Any:
        """Nodes and scores."""
        tokens = torch.from_numpy(tokens_of(self._items, self._search.shape, request))
        dead = torch.full((len(request.modalities), self._items.space.levels, 1), NO_EDGES, dtype=torch.int32)
        modality, beam = torch.tensor(request.modalities), torch.zeros(request.beam, dtype=torch.int64)
        with torch.inference_mode():
            return self._search(tokens, modality, *self._trie, self._allowed, dead, beam, self._cold)

    def found(self, result: Any, _request: Request) -> Found:
        """The same."""
        nodes, scores = result
        return Found(nodes.numpy(), scores.numpy())


class HuggingFace(Contestant):
    """``generate`` of transformers, constrained by ``prefix_allowed_tokens_fn`` over a dict of prefixes."""

    def __init__(self, t5: T5ForConditionalGeneration, items: Items) -> None:
        """Searches ``items`` with T5."""
        self._t5: Any = t5
        self._items = items
        self._next = [_prefixes(items, modality) for modality in range(len(items.space.modalities))]

    def run(self, request: Request) -> Any:
        """One call for each list."""
        tokens = torch.from_numpy(tokens_of(self._items, GeneratorShape(), request))
        return [
            self._generate(row[None], modality, request.beam)
            for row, modality in zip(tokens, request.modalities, strict=True)
        ]

    def _generate(self, tokens: Tensor, modality: int, beam: int) -> Any:
        following = self._next[modality]
        with torch.inference_mode():
            return self._t5.generate(
                input_ids=tokens,
                attention_mask=torch.ones_like(tokens),
                num_beams=beam,
                num_return_sequences=beam,
                do_sample=False,
                max_new_tokens=self._items.space.levels,
                min_new_tokens=self._items.space.levels,
                length_penalty=1.0,
                renormalize_logits=False,
                prefix_allowed_tokens_fn=lambda _row, prefix: following[tuple(prefix[1:].tolist())],
                return_dict_in_generate=True,
                output_scores=True,
            )

    def found(self, result: Any, request: Request) -> Found:
        """Nodes of the generated tokens."""
        nodes = [
            nodes_of(self._items, modality, each.sequences[:, 1:].numpy())
            for each, modality in zip(result, request.modalities, strict=True)
        ]
        return Found(np.stack(nodes), np.stack([each.sequences_scores.numpy() for each in result]))


class CTranslate2(Contestant):
    """CTranslate2 with 8-bit weights and no trie: what it finds need not exist."""

    def __init__(self, folder: Path, t5: T5ForConditionalGeneration, items: Items) -> None:
        """Converts T5 into ``folder``, which spoils its weights; a token is named by its number."""
        import ctranslate2  # noqa: PLC0415 (an optional peer)
        from ctranslate2.converters.transformers import T5Loader  # noqa: PLC0415

        loader, names = T5Loader(), [str(token) for token in range(t5.config.vocab_size)]
        with torch.inference_mode():
            spec = loader.get_model_spec(t5)
        loader.set_vocabulary(spec, names)
        spec.config.bos_token = spec.config.decoder_start_token = spec.config.unk_token = names[PAD]
        # No search of L steps ends earlier, so that the end may be any token that is no code.
        spec.config.eos_token = names[-1]
        spec.config.add_source_eos = False
        spec.validate()
        spec.optimize(quantization="int8")
        folder.mkdir()
        spec.save(str(folder))
        self._translator = ctranslate2.Translator(str(folder), compute_type="int8", intra_threads=1, inter_threads=1)
        self._items = items

    def run(self, request: Request) -> Any:
        """Both lists in one batch."""
        rows = [[str(token) for token in row] for row in tokens_of(self._items, GeneratorShape(), request).tolist()]
        return self._translator.translate_batch(
            rows,
            beam_size=request.beam,
            num_hypotheses=request.beam,
            min_decoding_length=self._items.space.levels,
            max_decoding_length=self._items.space.levels,
            length_penalty=1.0,
            return_scores=True,
        )

    def found(self, result: Any, request: Request) -> Found:
        """Nodes of what happens to exist."""
        tokens = [np.array(each.hypotheses, dtype=np.int64) for each in result]
        nodes = [nodes_of(self._items, *each) for each in zip(request.modalities, tokens, strict=True)]
        return Found(np.stack(nodes), np.array([each.scores for each in result], dtype=np.float32))


def has_ctranslate2() -> bool:
    """Whether the optional peer is installed (the dependency group ``bench``)."""
    return importlib.util.find_spec("ctranslate2") is not None


def contestants(generator: Generator, items: Items, folder: Path) -> dict[str, Contestant]:
    """All that run the published shape, over the same weights."""
    path = exported(generator, items, folder)
    found: dict[str, Contestant] = {
        "graph": Graph(Engine(path), items, generator.config.shape),
        INT8: int8_graph(path, generator, items),
        "torch eager": Eager(generator.search().eval(), items),
        "Hugging Face": HuggingFace(as_t5(generator.transformer), items),
    }
    if has_ctranslate2():
        found["CTranslate2 int8, no trie"] = CTranslate2(folder / "ctranslate2", as_t5(generator.transformer), items)
    return found


def int8_graph(path: Path, generator: Generator, items: Items) -> Graph:
    """The search in eight bits, of the exported one in ``path``."""
    fast = path.with_name(GENERATOR_INT8_FILE)
    quantize_search(path, fast)
    return Graph(Engine(fast), items, generator.config.shape)


def exported(generator: Generator, items: Items, folder: Path) -> Path:
    """The file that a generator's search is exported to."""
    shape, path = generator.config.shape, folder / "generator.onnx"
    properties = graph_properties(items.space, "0" * 16, MAX_HISTORY) | {"history_position": shape.position}
    export_generator(generator, items.codes[:, :500], path, properties)
    return path


def random_generator(space: IdSpace, sizes: TransformerSizes, shape: GeneratorShape, seed: int) -> Generator:
    """A generator that nobody trained."""
    torch.manual_seed(seed)
    config = GeneratorConfig(space=space, prompted_tasks=4, max_history=MAX_HISTORY, sizes=sizes, shape=shape)
    return Generator(config).eval()


def nodes_of(items: Items, modality: int, tokens: NDArray[np.int64]) -> NDArray[np.int64]:
    """Leaf nodes ``(n,)`` of tokens ``(n, L)``, -1 where no item has that ID."""
    levels = tokens - items.space.token_offset(modality, 0) - np.arange(items.space.levels) * items.space.codes
    valid: NDArray[np.bool_] = np.all((levels >= 0) & (levels < items.space.codes), axis=1)
    way = walk(items.trie, np.full(len(tokens), modality), np.where(valid[:, np.newaxis], levels, 0).astype(np.uint8))
    found: NDArray[np.int64] = np.where(valid & way.exists[-1], way.node[-1], -1)
    return found


def _prefixes(items: Items, modality: int) -> dict[tuple[int, ...], list[int]]:
    """For every prefix of tokens those that may follow it."""
    following: dict[tuple[int, ...], list[int]] = {}
    ids = np.unique(items.space.tokens(modality, items.codes[modality]), axis=0)
    for length in range(items.space.levels):
        for path in np.unique(ids[:, : length + 1], axis=0).tolist():
            following.setdefault(tuple(path[:-1]), []).append(path[-1])
    return following
