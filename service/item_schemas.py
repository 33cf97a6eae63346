"""Requests and responses about items and the catalog, as the API documents them."""

from typing import Annotated, Any

from pydantic import Base64Bytes, Field, FiniteFloat

from model.item_inputs import AttributeValue, ItemInputs
from service.schemas import Body, Id, Response

MAX_BATCH = 1_000
MAX_TEXT = 100_000
MAX_DIM = 65_536

Text = Annotated[str, Field(max_length=MAX_TEXT)]


class ItemBody(Body):
    """All that is told of an item; what is left out is empty, and what was told before is forgotten."""

    title: Text = ""
    text: Text = Field("", description="The description.")
    category: list[Text] = Field([], max_length=100)
    price: FiniteFloat | None = None
    attributes: dict[Text, AttributeValue] = Field({}, max_length=1_000, description="Whatever else there is, by name.")
    image: Base64Bytes | None = Field(None, description="A picture file (JPEG, PNG, WebP, ...) in base64.")
    embeddings: dict[str, Annotated[list[FiniteFloat], Field(max_length=MAX_DIM)]] = Field(
        {}, description="By modality, in place of the bundle's encoders, or where it has none."
    )

    def inputs(self) -> ItemInputs:
        """What the encoders read."""
        return ItemInputs.model_validate(
            {name: getattr(self, name) for name in ItemBody.model_fields}
            | {"embeddings": {name: tuple(values) for name, values in self.embeddings.items()}}
        )


class ItemRow(ItemBody):
    """One item of a batch."""

    id: Id

    @property
    def pair(self) -> tuple[str, ItemInputs]:
        """The id and what the encoders read."""
        return self.id, self.inputs()


class ItemBatch(Body):
    """Several items at once; each is checked and stored on its own."""

    items: list[dict[str, Any]] = Field(
        min_length=1, max_length=MAX_BATCH, description="Each as for PUT /items/{id}, with its `id`."
    )


class Availability(Body):
    """Whether an item may be recommended."""

    available: bool


class WrittenResponse(Response):
    """A change of an item that is stored durably."""

    id: str
    sequence: int = Field(description="The number of the change in the live log.")
    changed: bool = Field(description="False if the item was like that already.")
    visible: bool = Field(description="Whether this replica serves it already; others follow as fast.")


class UpsertResponse(WrittenResponse):
    """An item that is stored durably, with the semantic IDs that it keeps."""

    semantic_ids: dict[str, list[int]] = Field(description="The codes of each modality.")


class BatchRow(Response):
    """What came of one item of a batch."""

    id: str | None = Field(description="As it was sent; null if there was none.")
    status: int = Field(description="200, or the status that a request of its own would have had.")
    detail: str | None = Field(None, description="What is wrong with it.")
    sequence: int | None = None
    changed: bool | None = None


class BatchResponse(Response):
    """What came of each item, in the order in which they were sent."""

    items: list[BatchRow]
    stored: int
    failed: int
    visible: bool = Field(description="Whether this replica serves all of them already.")


class ItemSummary(Response):
    """One item of a list."""

    id: str
    title: str
    metadata: dict[str, Any]
    available: bool


class ItemResponse(ItemSummary):
    """One item of the catalog."""

    semantic_ids: dict[str, list[int]] = Field(description="The codes of each modality.")
    popularity: int = Field(description="How often the item occurs in training.")
    catalog_version: str


class ItemPage(Response):
    """Items in the order of their ids."""

    items: list[ItemSummary]
    next: str | None = Field(description="The cursor of the next page; null at the end.")
    catalog_version: str


class SimilarItem(ItemSummary):
    """An item like another."""

    similarity: float = Field(
        description="Mean over modalities of (p + 1 - |a - b|^2 / (2 (|a|^2 + |b|^2))) / (L + 1): the first p of L "
        "codes are shared, a and b are the sums of the codewords. Without codebooks p / L."
    )
    shared: dict[str, int] = Field(description="p: how many first codes are shared, by modality.")
    distance: dict[str, float] | None = Field(description="|a - b|^2 by modality; null without codebooks.")


class SimilarResponse(Response):
    """Items like one, the most similar first."""

    items: list[SimilarItem]
    catalog_version: str


class CatalogResponse(Response):
    """What is served and how far it is."""

    catalog_version: str = Field(description="The base version, and behind a plus how far the live log is in it.")
    base_version: str
    model_version: str
    space_hash: str
    items: int = Field(description="Items that are there, available or not.")
    unavailable: int
    deleted: int = Field(description="Items that are gone and keep their codes for histories.")
    live_items: int = Field(description="Items added or changed after the base was made.")
    leaves: int = Field(description="Distinct semantic IDs over all modalities.")
    trie_bytes: int
    sequence: int = Field(description="Up to which number of the live log this replica is current.")
    base_sequence: int = Field(description="Up to which number the base is.")
    age_seconds: float = Field(description="Since the base was loaded.")
    degraded: list[str]
