"""The base of every configuration: immutable, and an unknown key is an error rather than a silent no-op."""

from pydantic import BaseModel, ConfigDict


class Config(BaseModel):
    """A frozen group of settings that rejects unknown keys, so that a typo in a file cannot pass unnoticed."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())
