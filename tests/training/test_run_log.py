from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]

from training.run_log import METRICS_FILE, RunLog, read_metrics


def write(folder: Path, resume_after: int, steps: dict[int, float]) -> None:
    with RunLog(folder, resume_after) as log:
        for step, loss in steps.items():
            log.write(step, {"loss": loss})


def test_records_come_back_in_order(tmp_path: Path) -> None:
    write(tmp_path, 0, {1: 3.0, 2: 0.1})
    assert read_metrics(tmp_path) == [{"step": 1, "loss": 3.0}, {"step": 2, "loss": 0.1}]


def test_a_folder_without_a_log_has_no_records(tmp_path: Path) -> None:
    assert read_metrics(tmp_path) == []


def test_a_record_is_on_disk_before_the_log_is_closed(tmp_path: Path) -> None:
    with RunLog(tmp_path, 0) as log:
        log.write(1, {"loss": 2.0})
        assert read_metrics(tmp_path) == [{"step": 1, "loss": 2.0}]


def test_resuming_forgets_what_is_done_again(tmp_path: Path) -> None:
    write(tmp_path, 0, {1: 5.0, 2: 4.0, 3: 3.0})
    write(tmp_path, 2, {3: 2.5})
    assert [(record["step"], record["loss"]) for record in read_metrics(tmp_path)] == [(1, 5.0), (2, 4.0), (3, 2.5)]


def test_tensorboard_shows_the_same_curve_after_a_resume(tmp_path: Path) -> None:
    write(tmp_path, 0, {1: 5.0, 2: 4.0, 3: 3.0})
    write(tmp_path, 2, {3: 2.5})
    board = EventAccumulator(str(tmp_path / "tensorboard"))
    board.Reload()
    assert [(event.step, event.value) for event in board.Scalars("loss")] == [(1, 5.0), (2, 4.0), (3, 2.5)]


def test_a_line_cut_short_is_left_out_and_overwritten(tmp_path: Path) -> None:
    write(tmp_path, 0, {1: 5.0, 2: 4.0})
    path = tmp_path / METRICS_FILE
    path.write_text(path.read_text()[:-5])
    assert [record["step"] for record in read_metrics(tmp_path)] == [1]
    write(tmp_path, 1, {2: 4.5})
    assert [(record["step"], record["loss"]) for record in read_metrics(tmp_path)] == [(1, 5.0), (2, 4.5)]
