"""Item ids in paths: any text, a slash included.

The framework matches routes after decoding, so ``/items/a%2Fsimilar`` would look like ``/items/a/similar``. Here they
are matched before: an encoded slash always belongs to the id, and one that is not encoded does so too, except before
the last word of a path that names an action.
"""

from collections.abc import MutableMapping
from typing import Annotated, Any
from urllib.parse import unquote

from fastapi import Path
from fastapi.routing import APIRoute
from starlette.routing import Match

from service.schemas import MAX_ID_LENGTH

ItemId = Annotated[str, Path(min_length=1, max_length=MAX_ID_LENGTH, description="Any text.")]


class ItemRoute(APIRoute):
    """A route that is matched with the path as it was sent."""

    def matches(self, scope: MutableMapping[str, Any]) -> tuple[Match, MutableMapping[str, Any]]:
        """Whether the route is the one that is asked for, and with which parameters."""
        sent = {**scope, "path": scope["raw_path"].decode("latin-1")} if "raw_path" in scope else scope
        match, found = super().matches(sent)
        if "item_id" in found.get("path_params", {}):
            found["path_params"]["item_id"] = unquote(found["path_params"]["item_id"])
        return match, found
