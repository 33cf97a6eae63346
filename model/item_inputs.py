"""What somebody tells of an item: its texts and attributes, and what its embeddings are made from."""

import hashlib
import json
from typing import Any, Self

from pydantic import ConfigDict, Field, FiniteFloat

from model.config import Config

AttributeValue = str | FiniteFloat | bool | list[str]


class ItemInputs(Config):
    """The inputs of one item.

    Attributes:
        title: its name.
        text: its description.
        category: its categories.
        price: None if it has none.
        attributes: whatever else there is, by name.
        image: the bytes of a picture file; None without one.
        embeddings: by modality, made by the caller in place of an encoder.
    """

    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    title: str = ""
    text: str = ""
    category: tuple[str, ...] = ()
    price: FiniteFloat | None = None
    attributes: dict[str, AttributeValue] = Field(default_factory=dict)
    image: bytes | None = None
    embeddings: dict[str, tuple[FiniteFloat, ...]] = Field(default_factory=dict)

    def metadata(self) -> dict[str, Any]:
        """What the catalog keeps of the item beside its id."""
        return self.model_dump(mode="json", exclude={"image", "embeddings"}, exclude_defaults=True)

    def pack(self) -> bytes:
        """All of it as JSON; bytes in base64."""
        return self.model_dump_json(exclude_defaults=True).encode()

    @classmethod
    def unpack(cls, packed: bytes) -> Self:
        """What :meth:`pack` made.

        Raises:
            pydantic.ValidationError: if it is something else.
        """
        return cls.model_validate_json(packed)

    def digest(self) -> str:
        """Names the content: equal inputs have equal digests, in whatever order their attributes stand."""
        canonical = json.dumps(self.model_dump(mode="json", exclude_defaults=True), sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:32]
