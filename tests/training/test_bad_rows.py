import pytest

from model.errors import DataError
from training.bad_rows import SHOWN_LINES, BadRows, RowRules


def test_rows_are_counted_and_the_first_lines_are_shown() -> None:
    bad = BadRows("x.csv", RowRules(max_bad_share=1))
    bad.skip("no user", range(5, 105))
    bad.skip("no user", [200])
    summary = bad.check(1000)
    assert summary.rows == 1000
    assert summary.bad["no user"].count == 101
    assert summary.bad["no user"].lines == list(range(5, 5 + SHOWN_LINES))


def test_kinds_without_rows_are_not_listed() -> None:
    bad = BadRows("x.csv", RowRules())
    bad.skip("no user", [], policy="error")
    assert bad.check(10).bad == {}


def test_the_share_may_be_reached_but_not_passed() -> None:
    bad = BadRows("x.csv", RowRules(max_bad_share=0.02))
    bad.skip("no user", [4])
    bad.skip("no item", [9])
    bad.check(100)
    with pytest.raises(DataError, match=r"x\.csv: 2 of 99 rows.*0\.02.*no user: 1 at line 4; no item: 1 at line 9"):
        bad.check(99)


def test_noted_rows_do_not_count_towards_the_share() -> None:
    bad = BadRows("items.jsonl", RowRules(max_bad_share=0))
    bad.note("empty text", [1, 2])
    assert bad.check(2).noted["empty text"].count == 2


def test_the_error_policy_names_file_kind_and_lines() -> None:
    bad = BadRows("x.csv", RowRules())
    with pytest.raises(DataError, match=r"x\.csv, unknown item: 2 at line 3, 7; the first is 'q'"):
        bad.skip("unknown item", [3, 7], policy="error", detail="the first is 'q'")
