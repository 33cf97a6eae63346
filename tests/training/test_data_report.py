import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model.semantic_ids import IdSpace
from training.data_report import fingerprint, report_on
from training.images import ARCHIVE, FOLDER, open_images
from training.interactions import Interactions
from training.items import Item
from training.readers.raw import Events, ImportedIds, RawData

ITEMS = [Item(id="a", title="A", text="long", image="a.png"), Item(id="b", title=" "), Item(id="c", title="C")]
INTERACTIONS = Interactions(
    ["u", "v"], np.array([0, 3, 4]), np.array([0, 1, 0, 0], dtype=np.int32), np.array([5, 6, 9, 7])
)
IDS = ImportedIds(IdSpace(("text",), levels=2), np.array([[[1, 2], [1, 2], [3, 4]]], dtype=np.uint8))
NO_EVENTS = Events([], np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.int64))


def png(colour: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (2, 2), colour).save(buffer, "PNG")
    return buffer.getvalue()


def test_a_small_set_is_described_by_hand_counted_numbers() -> None:
    report = report_on(RawData(ITEMS, NO_EVENTS, {}, {}, imported=IDS), INTERACTIONS, {"duplicate events": 2})
    assert (report.users, report.items, report.interactions) == (2, 3, 4)
    assert report.evaluation_users == 1
    assert report.items_without_interactions == 1
    assert report.sparsity == pytest.approx(1 - 4 / 6)
    assert report.history_lengths["median"] == report.history_lengths["mean"] == 2
    assert (report.with_title, report.with_text, report.with_image) == pytest.approx((2 / 3, 1 / 3, 1 / 3))
    assert (report.first_timestamp, report.last_timestamp) == (5, 9)
    assert report.filtered == {"duplicate events": 2}
    assert report.distinct_ids == {"text": 2}


def test_the_fingerprint_changes_with_every_part_of_the_content() -> None:
    moved = Interactions(["u", "v"], INTERACTIONS.offsets, INTERACTIONS.items[::-1], INTERACTIONS.timestamps)
    renamed = Interactions(["u", "w"], INTERACTIONS.offsets, INTERACTIONS.items, INTERACTIONS.timestamps)
    later = Interactions(["u", "v"], INTERACTIONS.offsets, INTERACTIONS.items, INTERACTIONS.timestamps + 1)
    other = IDS._replace(codes=IDS.codes + np.uint8(1))
    prints = [
        fingerprint(ITEMS, INTERACTIONS, None, IDS),
        fingerprint(ITEMS[::-1], INTERACTIONS, None, IDS),
        fingerprint(ITEMS, moved, None, IDS),
        fingerprint(ITEMS, renamed, None, IDS),
        fingerprint(ITEMS, later, None, IDS),
        fingerprint(ITEMS, INTERACTIONS, None, other),
        fingerprint(ITEMS, INTERACTIONS, None, None),
    ]
    assert len(set(prints)) == len(prints)
    assert fingerprint(list(ITEMS), INTERACTIONS, None, IDS) == prints[0]


def test_the_fingerprint_follows_an_image_but_not_where_it_is_kept(tmp_path: Path) -> None:
    prints = []
    for colour in ("red", "blue"):
        folder, archive = tmp_path / colour / "folder", tmp_path / colour / "zip"
        (folder / FOLDER).mkdir(parents=True)
        archive.mkdir()
        (folder / FOLDER / "a.png").write_bytes(png(colour))
        with zipfile.ZipFile(archive / ARCHIVE, "w") as file:
            file.writestr("a.png", png(colour))
        prints.append([fingerprint(ITEMS, INTERACTIONS, open_images(data), None) for data in (folder, archive)])
    assert prints[0][0] == prints[0][1] != prints[1][0] == prints[1][1]
