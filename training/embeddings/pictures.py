"""The items' pictures, decoded a few at a time."""

from PIL import Image

from model.errors import DataError
from training.embeddings.rows import BadRows
from training.embeddings.sources import Inputs
from training.images import open_images


class Pictures:
    """The pictures that the items name, in the folder or archive ``images`` (None: the data folder's own)."""

    def __init__(self, inputs: Inputs, images: str | None) -> None:
        """Opens the folder or archive.

        Raises:
            DataError: if there is none.
        """
        source = open_images(inputs.data, images)
        if source is None:
            raise DataError(f"{inputs.data} holds no images; name their folder or archive, or leave the modality out")
        self._source = source
        self._items = inputs.items

    def read(self, rows: range, bad: BadRows) -> dict[int, Image.Image]:
        """The RGB pictures of those ``rows`` that name one; one that cannot be read goes to ``bad``."""
        found: dict[int, Image.Image] = {}
        for row in rows:
            name = self._items[row].image
            if name is None:
                continue
            try:
                found[row] = self._source.read(name)
            except DataError as error:
                bad.add(row, self._items[row].id, str(error))
        return found
