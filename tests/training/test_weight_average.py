import torch

from model.generator import Generator, GeneratorConfig
from model.transformer_config import TransformerSizes
from tests.toys import SPACE
from training.weight_average import WeightAverage

SIZES = TransformerSizes(d_model=8, d_ff=8, heads=1, d_head=8, encoder_layers=1, decoder_layers=1)


def generator() -> Generator:
    return Generator(GeneratorConfig(space=SPACE, prompted_tasks=0, sizes=SIZES))


def set_to(followed: Generator, value: float) -> None:
    with torch.no_grad():
        for weights in followed.parameters():
            weights.fill_(value)


def values(average: WeightAverage) -> set[float]:
    return {round(value, 6) for weights in average.generator.parameters() for value in weights.flatten().tolist()}


def test_the_first_update_takes_the_weights_and_later_ones_their_share() -> None:
    followed = generator()
    average = WeightAverage(followed, decay=0.75)
    set_to(followed, 1.0)
    average.update()
    assert values(average) == {1.0}
    set_to(followed, 3.0)
    average.update()
    assert values(average) == {1.5}
    average.update()
    assert values(average) == {1.875}


def test_a_restored_average_goes_on_where_it_stopped() -> None:
    followed = generator()
    stopped, unused = WeightAverage(followed, decay=0.5), WeightAverage(followed, decay=0.5)
    assert stopped.state() is None
    set_to(followed, 2.0)
    stopped.update()
    resumed = WeightAverage(generator(), decay=0.5)
    resumed.restore(stopped.state())
    unused.restore(None)
    assert values(resumed) == {2.0}
    assert values(unused) != {2.0}


def test_it_is_no_part_of_the_training() -> None:
    average = WeightAverage(generator(), decay=0.5)
    assert not any(weights.requires_grad for weights in average.generator.parameters())
