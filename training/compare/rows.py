"""The rows of the comparison: a name, what it is, and overrides over a data set's configuration."""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from model.config import Config
from model.errors import ConfigError
from training.config import RunConfig

ROWS_FILE = Path(__file__).with_name("rows.toml")
REFERENCE, RECIPE = "macrec", "own"

Kind = Literal["baseline", "sasrec", "generator"]
Overrides = dict[str, Any]


class Row(Config):
    """One row of the table.

    Attributes:
        name: as it is asked for and as its folder is called.
        title: as the table shows it.
        what: one line that says what it is.
        kind: what is trained.
        like: the row whose overrides come before its own.
        needs: modalities that the data must have, and "embeddings" where its semantic IDs must be trained.
        modalities: the only ones in the whole run; None takes all.
        symmetric: whether the decoder has as many layers as the configuration's encoder, as in the paper, unless an
            override says how many.
        overrides: over the data set's configuration.
        evaluation: over that, when what is trained is evaluated.
    """

    name: str
    title: str
    what: str
    kind: Kind
    like: str | None = None
    needs: tuple[str, ...] = ()
    modalities: tuple[str, ...] | None = None
    symmetric: bool = False
    overrides: Overrides = Field(default_factory=dict)
    evaluation: Overrides = Field(default_factory=dict)

    def config(self, base: RunConfig) -> RunConfig:
        """What the row is trained with, on top of a data set's configuration.

        Raises:
            ConfigError: if an override does not fit.
        """
        settings = base.model_dump(mode="json")
        if self.symmetric:
            sizes = settings["generate"]["sizes"]
            sizes["decoder_layers"] = sizes["encoder_layers"]
        settings = merged(settings, self.overrides)
        if self.modalities is not None:
            self._narrow(settings["embed"], "modalities")
            if base.imports_ids:
                self._narrow(settings["prepare"]["lcrec"], "index_files")
                # Nothing beside the imported IDs is the default, not an empty table.
                settings["embed"] = {name: value for name, value in settings["embed"].items() if value}
        return self._validated(settings)

    def evaluated(self, trained: RunConfig) -> RunConfig:
        """What the row is evaluated with."""
        return self._validated(merged(trained.model_dump(mode="json"), self.evaluation))

    def missing(self, base: RunConfig) -> str | None:
        """Why the row does not apply to a data set; None if it does."""
        lacking = [name for name in self.needs if name != "embeddings" and name not in modalities_of(base)]
        if lacking:
            return f"the data has no {' and no '.join(lacking)}"
        if "embeddings" in self.needs and base.imports_ids:
            return "the data brings its semantic IDs"
        return None

    def _narrow(self, section: Overrides, table: str) -> None:
        """Leaves only the row's modalities in a table of the section."""
        section[table] = {name: value for name, value in section[table].items() if name in (self.modalities or ())}

    def _validated(self, settings: Overrides) -> RunConfig:
        try:
            return RunConfig.model_validate(settings)
        except ValidationError as error:
            raise ConfigError(f"row {self.name!r} does not fit the configuration: {error}") from error


def modalities_of(config: RunConfig) -> tuple[str, ...]:
    """The modalities that a data set's configuration has."""
    return tuple(config.prepare.lcrec.index_files if config.imports_ids else config.embed.modalities)


def merged(settings: Mapping[str, Any], overrides: Mapping[str, Any]) -> Overrides:
    """The settings with overrides, table by table; everything that is no table is replaced as a whole."""
    result = dict(settings)
    for name, value in overrides.items():
        below = result.get(name)
        result[name] = merged(below, value) if isinstance(value, Mapping) and isinstance(below, Mapping) else value
    return result


def read_rows(more: Path | None = None) -> dict[str, Row]:
    """The rows of ``rows.toml`` in its order, and those of another file, which replace rows of the same name.

    Raises:
        ConfigError: if a file cannot be read or does not describe rows.
    """
    tables = _read_tables(ROWS_FILE)
    if more is not None:
        tables |= _read_tables(more)
    return {name: _row(name, tables) for name in tables}


def wanted_rows(rows: Mapping[str, Row], names: Sequence[str]) -> list[str]:
    """The names as they are, if they name rows; those of all rows if no name is given.

    Raises:
        ConfigError: if there is no such row.
    """
    unknown = [name for name in names if name not in rows]
    if unknown:
        raise ConfigError(f"no row {unknown[0]!r}; there are {list(rows)}")
    return list(names or rows)


def _read_tables(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error


def _row(name: str, tables: Mapping[str, Any], below: tuple[str, ...] = ()) -> Row:
    """A row with the overrides of the rows that it is like."""
    if name not in tables or name in below:
        raise ConfigError(f"row {below[-1] if below else name!r} is like {name!r}, which is no row before it")
    try:
        row = Row.model_validate({"name": name, **tables[name]})
    except (TypeError, ValidationError) as error:
        raise ConfigError(f"row {name!r}: {error}") from error
    if row.like is None:
        return row
    first = _row(row.like, tables, (*below, name))
    changes = {
        "overrides": merged(first.overrides, row.overrides),
        "evaluation": merged(first.evaluation, row.evaluation),
        "modalities": row.modalities or first.modalities,
        "symmetric": row.symmetric or first.symmetric,
    }
    return row.model_copy(update=changes)
