"""A generator comes back from its folder as it went, and its loss is the cross-entropy written out by hand."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.errors import BundleError
from model.generator import CONFIG_FILE, WEIGHTS_FILE, Generator, GeneratorConfig, siblings_cross_entropy
from model.generator_shape import GeneratorShape
from model.history_tokens import tokens_per_item
from model.semantic_ids import PAD, IdSpace
from model.transformer_config import TransformerSizes
from model.trie import build_trie

SIZES = TransformerSizes(d_model=12, d_ff=20, heads=2, d_head=6, encoder_layers=1, decoder_layers=1, dropout=0.2)
CONFIG = GeneratorConfig(space=IdSpace(("text", "image"), levels=3, codes=7), prompted_tasks=2, sizes=SIZES)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def generator() -> Generator:
    torch.manual_seed(0)
    return Generator(CONFIG).eval()


def batch() -> tuple[Tensor, Tensor]:
    """Histories of two lengths, and targets of both modalities."""
    space = CONFIG.space
    tokens = torch.tensor([[5, 9, 16, 3, 8, 20], [1, 12, 17, PAD, PAD, PAD]])
    targets = np.stack([space.tokens(0, np.array([6, 0, 3])), space.tokens(1, np.array([2, 2, 2]))])
    return tokens, torch.from_numpy(targets)[:, None, None]


def search(generator: Generator) -> tuple[Tensor, Tensor]:
    codes = np.random.default_rng(0).integers(0, 7, (2, 20, 3)).astype(np.uint8)
    trie = build_trie(codes)
    start, code = torch.from_numpy(trie.child_start), torch.from_numpy(trie.child_code)
    allowed, dead = torch.ones(len(code), dtype=torch.bool), torch.full((2, 3, 1), -1, dtype=torch.int32)
    with torch.no_grad():
        nodes, scores = generator.search()(
            batch()[0], torch.tensor([0, 1]), start, code, allowed, dead, torch.ones(5), ~allowed
        )
    return nodes, scores


def test_a_saved_generator_answers_as_before(generator: Generator, tmp_path: Path) -> None:
    generator.train().save(tmp_path / "new" / "folder")
    loaded = Generator.load(tmp_path / "new" / "folder")
    assert not loaded.training
    assert loaded.config == generator.config
    assert torch.equal(loaded.loss(*batch()), generator.eval().loss(*batch()))
    for before, after in zip(search(generator), search(loaded), strict=True):
        assert torch.equal(before, after)
    assert sorted(file.name for file in (tmp_path / "new" / "folder").iterdir()) == [CONFIG_FILE, WEIGHTS_FILE]


def test_saving_again_replaces_both_files(generator: Generator, tmp_path: Path) -> None:
    Generator(CONFIG.model_copy(update={"prompted_tasks": 0})).save(tmp_path)
    generator.save(tmp_path)
    assert torch.equal(Generator.load(tmp_path).loss(*batch()), generator.loss(*batch()))


@pytest.mark.parametrize("change", [{"prompted_tasks": 3}, {"sizes": SIZES.model_copy(update={"decoder_layers": 2})}])
def test_weights_of_another_configuration_are_refused(
    generator: Generator, tmp_path: Path, change: dict[str, object]
) -> None:
    generator.save(tmp_path)
    (tmp_path / CONFIG_FILE).write_text(CONFIG.model_copy(update=change).model_dump_json())
    with pytest.raises(BundleError) as caught:
        Generator.load(tmp_path)
    assert str(tmp_path / WEIGHTS_FILE) in str(caught.value)
    assert str(tmp_path / CONFIG_FILE) in str(caught.value)


@pytest.mark.parametrize("name", [WEIGHTS_FILE, CONFIG_FILE])
def test_a_missing_or_cut_off_file_is_named(generator: Generator, tmp_path: Path, name: str) -> None:
    generator.save(tmp_path)
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-40])
    with pytest.raises(BundleError, match=name):
        Generator.load(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(BundleError, match=name):
        Generator.load(tmp_path)


@torch.no_grad()
def by_hand(generator: Generator, smoothing: float) -> float:
    """Every target token by itself, after a start token and the targets before it, with the row's own history only."""
    losses = []
    for row, target in zip(*batch(), strict=True):
        history = row[row != PAD][None]
        present = torch.ones_like(history, dtype=torch.bool)
        memory = generator.transformer.memory(generator.transformer.encode(history, present), present)
        for position, token in enumerate(target[0, 0].tolist()):
            inputs = torch.tensor([[PAD, *target[0, 0, :position].tolist()]])
            logits = generator.transformer.decode(inputs, memory)[0, -1].double().numpy()
            log_probabilities = logits - np.log(np.exp(logits).sum())
            uniform = log_probabilities.mean()
            losses.append(-(1 - smoothing) * log_probabilities[token] - smoothing * uniform)
    return float(np.mean(losses))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_is_the_mean_cross_entropy_of_each_target_token(generator: Generator, smoothing: float) -> None:
    with torch.no_grad():
        loss = generator.loss(*batch(), label_smoothing=smoothing).item()
    assert loss == pytest.approx(by_hand(generator, smoothing), abs=1e-5)


SHAPES = [
    GeneratorShape(causal=True),
    GeneratorShape(position="item", causal=True),
    GeneratorShape(position="item", causal=True, softmax="catalog"),
    GeneratorShape(position="item", causal=True, start="state"),
]


@pytest.mark.parametrize("shape", SHAPES)
def test_one_pass_over_a_sequence_costs_what_its_prefixes_cost_one_by_one(shape: GeneratorShape) -> None:
    torch.manual_seed(0)
    generator = Generator(CONFIG.model_copy(update={"shape": shape})).eval()
    space, events, random = CONFIG.space, 5, np.random.default_rng(0)
    each = tokens_per_item(space, shape.position)
    tokens = torch.from_numpy(random.integers(1, space.first_prompt_token, (2, events * each)))
    tokens[1, 3 * each :] = PAD
    codes, modality = random.integers(0, space.codes, (2, events, space.levels)), (0, 1)
    targets = torch.from_numpy(np.stack([space.tokens(m, codes[row]) for row, m in enumerate(modality)]))[:, :, None]
    targets[1, 3:] = PAD
    targets[0, 1] = PAD
    siblings = random_siblings(random, codes[:, :, None])
    alone = [
        generator.loss(
            tokens[row : row + 1, : (event + 1) * each],
            targets[row : row + 1, event : event + 1],
            siblings[row : row + 1, event : event + 1],
            label_smoothing=0.1,
        ).item()
        for row, event in ((0, 0), (0, 2), (0, 3), (0, 4), (1, 0), (1, 1), (1, 2))
    ]
    together = generator.loss(tokens, targets, siblings, label_smoothing=0.1).item()
    assert together == pytest.approx(np.mean(alone), abs=1e-5)


def random_siblings(random: np.random.Generator, codes: NDArray[np.int64]) -> Tensor:
    """Siblings ``(..., L, M)`` of codes ``(..., L)``, themselves among them."""
    siblings = random.random((*codes.shape, CONFIG.space.codes)) < 0.5
    np.put_along_axis(siblings, codes[..., None], values=True, axis=-1)
    return torch.from_numpy(siblings)


@pytest.mark.parametrize("levels", [1, 3])
@pytest.mark.parametrize("shape", [GeneratorShape(position="item"), *SHAPES[1:]])
def test_targets_in_all_modalities_cost_what_they_cost_one_modality_at_a_time(
    shape: GeneratorShape, levels: int
) -> None:
    torch.manual_seed(0)
    space, random = IdSpace(("text", "image", "audio"), levels, codes=7), np.random.default_rng(0)
    generator = Generator(CONFIG.model_copy(update={"space": space, "shape": shape})).eval()
    events = 4 if shape.causal else 1
    tokens = torch.from_numpy(random.integers(1, space.first_prompt_token, (2, 4 * tokens_per_item(space, "item"))))
    codes = random.integers(0, space.codes, (2, events, 3, space.levels))
    targets = torch.from_numpy(np.stack([space.tokens(part, codes[:, :, part]) for part in range(3)], axis=2))
    targets[1, -1, 2] = PAD
    targets[0, 0, 1] = PAD
    siblings = random_siblings(random, codes)
    together = generator.loss(tokens, targets, siblings, label_smoothing=0.1)
    together.backward()  # type: ignore[no-untyped-call]
    found = {name: weight.grad for name, weight in generator.named_parameters()}
    generator.zero_grad()
    counts = [int((targets[:, :, part, 0] != PAD).sum()) for part in range(3)]
    alone = []
    for part, count in enumerate(counts):
        one = slice(part, part + 1)
        loss = generator.loss(tokens, targets[:, :, one], siblings[:, :, one], label_smoothing=0.1)
        alone.append(loss * count / sum(counts))
    expected = torch.stack(alone).sum()
    expected.backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(together, expected)
    for name, weight in generator.named_parameters():
        torch.testing.assert_close(found[name], weight.grad, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_a_softmax_over_siblings_is_the_one_written_out_by_hand(smoothing: float) -> None:
    random = np.random.default_rng(0)
    logits, codes = random.standard_normal((4, 2, 5)), random.integers(0, 5, (4, 2))
    siblings = random.random((4, 2, 5)) < 0.4
    np.put_along_axis(siblings, codes[..., None], values=True, axis=-1)
    siblings[0, 0] = np.arange(5) == codes[0, 0]
    losses = []
    for row, level in np.ndindex(4, 2):
        kept = np.flatnonzero(siblings[row, level]).tolist()
        exponentials = {code: np.exp(logits[row, level, code]) for code in kept}
        found = {code: np.log(value / sum(exponentials.values())) for code, value in exponentials.items()}
        losses.append(-(1 - smoothing) * found[int(codes[row, level])] - smoothing * np.mean(list(found.values())))
    tensors = [torch.from_numpy(array) for array in (logits, codes, siblings)]
    found_losses = siblings_cross_entropy(tensors[0], tensors[1], tensors[2], smoothing)
    assert found_losses.flatten().tolist() == pytest.approx(losses)


def test_training_lowers_the_loss_to_almost_nothing(generator: Generator) -> None:
    """Two examples can be learned by heart only if history, prefix and target line up."""
    optimizer = torch.optim.Adam(generator.parameters(), lr=0.02)
    for _ in range(150):
        optimizer.zero_grad()
        generator.loss(*batch()).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert generator.loss(*batch()).item() < 0.05


def test_pooled_is_the_mean_of_the_encoder_states(generator: Generator) -> None:
    tokens = batch()[0][:1]
    with torch.no_grad():
        states = generator.transformer.encode(tokens, torch.ones_like(tokens, dtype=torch.bool))
        torch.testing.assert_close(generator.pooled(tokens), states.sum(dim=1) / 6)
