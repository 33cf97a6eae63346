"""The transformer is T5's: the same states and logits as Hugging Face's, however it is run."""

import pytest
import torch
from torch import Tensor
from transformers import T5ForConditionalGeneration
from transformers.models.t5.modeling_t5 import T5Attention

from model.transformer import Transformer
from model.transformer_config import TransformerConfig
from tests.hugging_face import as_t5

VOCABULARY = 50
TOLERANCE = 1e-4


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def tiny(**changes: float) -> Transformer:
    """A small transformer whose norms' gains and position biases are no neutral values."""
    sizes = {"d_model": 24, "d_ff": 40, "heads": 3, "d_head": 10, "encoder_layers": 2, "decoder_layers": 3}
    torch.manual_seed(0)
    transformer = Transformer(TransformerConfig.model_validate({"vocabulary": VOCABULARY, **sizes, **changes})).eval()
    with torch.no_grad():
        for name, weight in transformer.named_parameters():
            if "norm" in name:
                weight.uniform_(0.5, 1.5)
            if "position" in name:
                weight.normal_()
    return transformer


@pytest.fixture(scope="module")
def transformer() -> Transformer:
    return tiny()


@pytest.fixture(scope="module")
def t5(transformer: Transformer) -> T5ForConditionalGeneration:
    return as_t5(transformer)


def draw(*shape: int, seed: int = 0) -> Tensor:
    """Tokens that are no padding."""
    return torch.randint(1, VOCABULARY, shape, generator=torch.Generator().manual_seed(seed))


def padded(lengths: list[int]) -> tuple[Tensor, Tensor]:
    """Rows of these lengths as tokens and presence."""
    present = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    return draw(len(lengths), max(lengths)) * present, present


def decode(transformer: Transformer, tokens: Tensor, present: Tensor, inputs: Tensor) -> tuple[Tensor, Tensor]:
    states = transformer.encode(tokens, present)
    return states, transformer.decode(inputs, transformer.memory(states, present))


@pytest.mark.parametrize("lengths", [[1], [5, 5], [7, 1, 4], [80, 3], [300, 140, 129]])
@torch.no_grad()
def test_states_and_logits_equal_t5(
    transformer: Transformer, t5: T5ForConditionalGeneration, lengths: list[int]
) -> None:
    tokens, present = padded(lengths)
    inputs = draw(len(lengths), 6, seed=1)
    states, logits = decode(transformer, tokens, present, inputs)
    theirs = t5(input_ids=tokens, attention_mask=present.long(), decoder_input_ids=inputs)
    torch.testing.assert_close(states[present], theirs.encoder_last_hidden_state[present], atol=TOLERANCE, rtol=0)
    torch.testing.assert_close(logits, theirs.logits, atol=TOLERANCE, rtol=0)


@torch.no_grad()
def test_decoder_positions_beyond_the_maximum_distance_equal_t5(
    transformer: Transformer, t5: T5ForConditionalGeneration
) -> None:
    tokens, present = padded([4])
    inputs = draw(1, 200, seed=1)
    theirs = t5(input_ids=tokens, attention_mask=present.long(), decoder_input_ids=inputs).logits
    torch.testing.assert_close(decode(transformer, tokens, present, inputs)[1], theirs, atol=TOLERANCE, rtol=0)


@torch.no_grad()
def test_other_bucket_sizes_equal_t5() -> None:
    transformer = tiny(position_buckets=12, max_distance=20)
    tokens, present = padded([50, 9])
    inputs = draw(2, 40, seed=1)
    theirs = as_t5(transformer)(input_ids=tokens, attention_mask=present.long(), decoder_input_ids=inputs).logits
    torch.testing.assert_close(decode(transformer, tokens, present, inputs)[1], theirs, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize(("buckets", "max_distance"), [(32, 128), (12, 20), (64, 300), (8, 16)])
@pytest.mark.parametrize("bidirectional", [True, False])
def test_buckets_are_t5s_at_every_distance(buckets: int, max_distance: int, bidirectional: bool) -> None:
    transformer = tiny(position_buckets=buckets, max_distance=max_distance)
    position = transformer.encoder_position if bidirectional else transformer.decoder_position
    reach = 2 * max_distance
    with torch.no_grad():
        position.weight.copy_(torch.arange(buckets)[:, None].expand_as(position.weight))
        ours = position(torch.tensor([reach]), torch.arange(2 * reach + 1))[0, 0].long()
    distances = torch.arange(-reach, reach + 1)
    theirs = T5Attention._relative_position_bucket(  # type: ignore[no-untyped-call]
        distances, bidirectional, buckets, max_distance
    )
    assert ours.tolist() == theirs.tolist()


@pytest.mark.parametrize("starts_from_state", [False, True])
@torch.no_grad()
def test_decoding_step_by_step_equals_decoding_at_once(starts_from_state: bool) -> None:
    """With several beams of each row, which share the row's memory."""
    transformer = tiny(starts_from_state=starts_from_state)
    rows, beams, length = 3, 4, 5
    tokens, present = padded([9, 2, 6])
    inputs = draw(rows, beams, length, seed=1)
    memory = transformer.memory(transformer.encode(tokens, present), present)
    past, steps = None, []
    for position in range(length):
        states, past = transformer.decode_step(inputs[:, :, position], past, memory)
        logits = transformer.logits(states)
        steps.append(logits)
    for beam in range(beams):
        at_once = transformer.decode(inputs[:, beam], memory)
        stepwise = torch.stack([logits[:, beam] for logits in steps], dim=1)
        torch.testing.assert_close(stepwise, at_once, atol=1e-5, rtol=0)


@torch.no_grad()
def test_a_causal_history_tells_its_order_to_a_decoder_that_starts_from_its_last_state() -> None:
    """Without that, the states of [a, b] and of [b, a] may differ, but which of them is the last does not matter."""
    tokens, present = padded([4, 2])
    for starts_from_state in (False, True):
        transformer = tiny(causal=True, starts_from_state=starts_from_state)
        states, start = transformer.encode(tokens, present), draw(2, 1, seed=1)
        memory = transformer.memory(states, present)
        order = torch.tensor([1, 0, 2, 3])
        moved = transformer.memory(states[:, order], present)
        same = torch.allclose(transformer.decode(start, memory)[1], transformer.decode(start, moved)[1], atol=1e-6)
        assert same != starts_from_state


@torch.no_grad()
def test_what_the_first_layer_reads_of_tokens_may_be_looked_up(transformer: Transformer) -> None:
    tokens, present = padded([9, 2])
    inputs = draw(2, 4, 3, seed=1)
    memory = transformer.memory(transformer.encode(tokens, present), present)
    of_tokens, past, looked_up = transformer.project_tokens(), None, None
    for position in range(3):
        expected, past = transformer.decode_step(inputs[:, :, position], past, memory)
        states, looked_up = transformer.decode_step(inputs[:, :, position], looked_up, memory, of_tokens)
        torch.testing.assert_close(states, expected, atol=1e-5, rtol=0)


@torch.no_grad()
def test_what_the_first_encoder_layer_reads_of_tokens_may_be_looked_up(transformer: Transformer) -> None:
    tokens, present = padded([9, 2])
    expected = transformer.encode(tokens, present)
    looked_up = transformer.encode(tokens, present, transformer.project_positions())
    torch.testing.assert_close(looked_up, expected, atol=1e-5, rtol=0)


@torch.no_grad()
def test_a_position_does_not_see_those_behind_it(transformer: Transformer) -> None:
    tokens, present = padded([5])
    inputs = draw(1, 6, seed=1)
    changed = torch.cat([inputs[:, :3], draw(1, 3, seed=2)], dim=1)
    first, second = (decode(transformer, tokens, present, either)[1] for either in (inputs, changed))
    torch.testing.assert_close(first[:, :3], second[:, :3], atol=1e-6, rtol=0)
    assert (first[:, 3:] - second[:, 3:]).abs().max() > 0.01


@pytest.mark.parametrize("known", [0, 1, 4, 6])
def test_positions_behind_encoded_ones_get_the_states_of_encoding_all_at_once(known: int) -> None:
    transformer = tiny(causal=True, tokens_per_position=3)
    tokens, present = draw(2, 7 * 3), torch.ones(2, 7, dtype=torch.bool)
    present[1, 6:] = False
    tokens[1, 18:] = 0
    nothing = torch.zeros(2, 0, transformer.state_width)
    with torch.no_grad():
        past = transformer.encode_on(tokens[:, : known * 3], present[:, :known], nothing)
        extended = transformer.encode_on(tokens[:, known * 3 :], present[:, known:], past)
        expected = transformer.encode(tokens, present)
    assert extended.shape == (2, 7, transformer.state_width)
    states = extended[..., -transformer.config.d_model :]
    torch.testing.assert_close(states[present], expected[present])


@torch.no_grad()
def test_padding_changes_nothing(transformer: Transformer) -> None:
    """Neither its amount nor what stands in the padded places."""
    alone = draw(1, 4)
    inputs = draw(1, 3, seed=1)
    states, logits = decode(transformer, alone, torch.ones(1, 4, dtype=torch.bool), inputs)
    present = torch.arange(30)[None] < 4
    for filler in (torch.zeros(1, 26, dtype=torch.int64), draw(1, 26, seed=2)):
        padded_states, padded_logits = decode(transformer, torch.cat([alone, filler], 1), present, inputs)
        torch.testing.assert_close(padded_states[:, :4], states, atol=1e-5, rtol=0)
        torch.testing.assert_close(padded_logits, logits, atol=1e-5, rtol=0)


def test_dropout_acts_in_training_only() -> None:
    transformer = tiny(dropout=0.3)
    tokens, present = padded([6, 3])
    inputs = draw(2, 3, seed=1)
    first, second = (decode(transformer, tokens, present, inputs)[1] for _ in range(2))
    assert torch.equal(first, second)
    transformer.train()
    first, second = (decode(transformer, tokens, present, inputs)[1] for _ in range(2))
    assert not torch.allclose(first, second)


def test_every_weight_gets_a_gradient() -> None:
    transformer = tiny().train()
    tokens, present = padded([140, 30])
    decode(transformer, tokens, present, draw(2, 5, seed=1))[1].square().mean().backward()  # type: ignore[no-untyped-call]
    assert [name for name, weight in transformer.named_parameters() if weight.grad is None] == []
