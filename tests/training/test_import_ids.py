from pathlib import Path

import numpy as np

from tests.runs import write_imported_shop
from training import prepare
from training.generator_data import GeneratorData
from training.import_ids import import_ids
from training.split import SplitConfig


def test_ids_are_taken_over_as_they_are_shared_leaves_included(tmp_path: Path) -> None:
    shop = write_imported_shop(tmp_path / "shop")
    prepare.run(prepare.PrepareConfig(format="lcrec"), shop, tmp_path / "prepare")
    import_ids(tmp_path / "prepare", tmp_path / "assign")
    data = GeneratorData.load(tmp_path / "prepare", tmp_path / "assign", SplitConfig())
    assert data.space.modalities == ("text", "image")
    assert data.codes[0].tolist() == [[item % 6, 0] for item in range(7)]
    assert data.codes[1].tolist() == [[item // 3, item % 3] for item in range(7)]
    assert sorted(data.trie.leaf_items(int(data.trie.item_leaf[0, 0])).tolist()) == [0, 6]
    assert data.codes.dtype == np.uint8
