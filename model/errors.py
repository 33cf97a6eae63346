"""The errors that a user can cause and mend; each message names the value and the remedy."""


class MacrecError(Exception):
    """Base of every error that this project raises for bad input."""


class ConfigError(MacrecError):
    """A configuration that cannot be used as it stands."""


class DataError(MacrecError):
    """Items, interactions, images or embeddings that break the rules of the canonical form."""


class BundleError(MacrecError):
    """A bundle or catalog that is damaged, incomplete, or made of parts that do not belong together."""


class RegistryError(MacrecError):
    """A registry of catalog versions that cannot be reached, refuses, or has nothing to give."""


class CacheError(MacrecError):
    """A cache of fetched versions that cannot be written."""


class OvertakenError(RegistryError):
    """Somebody else released meanwhile, so that what was made from the release before would undo that."""


class LiveLogError(MacrecError):
    """A live log that cannot be reached, refuses, or is damaged; what was sent to it may or may not be stored."""


class FilterError(MacrecError):
    """A filter that a catalog cannot apply."""

    def __init__(self, field: str, message: str) -> None:
        """``field`` is where the filter is wrong, as ``filter.all.0.attribute``."""
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message
