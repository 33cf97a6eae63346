import time

import pytest
import torch

from training.devices import Precision, mixed_precision, pick_device, training_clock

CPU = torch.device("cpu")


def test_a_named_device_is_taken_as_it_is() -> None:
    assert pick_device("cpu") == CPU
    assert pick_device("cuda").type == "cuda"


def test_auto_takes_a_gpu_where_there_is_one() -> None:
    assert pick_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize(("precision", "expected"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)])
def test_the_named_precision_multiplies(precision: Precision, expected: torch.dtype) -> None:
    ones = torch.ones(2, 2)
    with mixed_precision(CPU, precision):
        assert (ones @ ones).dtype == expected


def test_auto_is_one_of_the_two() -> None:
    with mixed_precision(CPU, "auto"):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype in (torch.float32, torch.bfloat16)


def test_on_the_cpu_time_in_which_others_run_is_no_training_and_on_a_gpu_it_is() -> None:
    clocks = {name: training_clock(torch.device(name)) for name in ("cpu", "cuda")}
    before = {name: clock() for name, clock in clocks.items()}
    time.sleep(0.2)
    passed = {name: clock() - before[name] for name, clock in clocks.items()}
    assert passed["cpu"] < 0.1
    assert passed["cuda"] >= 0.2
