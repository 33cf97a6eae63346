"""Whether a filter makes sense for a catalog: its attributes exist and have values of the types that it asks for.

An attribute that does not exist, or never has a value of the type that is asked for, is an error: the request can never
have meant that. A value that no item has is none: values come and go with the items, and a shop's page must not fail
because the last pair of red shoes was sold. Such a condition allows nothing, and a hint says so.
"""

import difflib
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from model.attributes import AttributeColumns, Kind, Value, kind_of
from model.conditions import Category, In, Membership, Place, Range
from model.errors import FilterError
from model.filters import Filter

SHOWN = 5
NEIGHBOURS = 2
COMPARED = 1_000
COMPARED_LENGTH = 100
"""How many words, of how many characters at most, are looked through for one that is spelled alike."""


class Known:
    """The attributes that a filter may ask for: those of several sets of items."""

    def __init__(self, sources: Sequence[AttributeColumns]) -> None:
        """Knows what any of ``sources``, at least one, knows."""
        self.sources = sources

    @property
    def names(self) -> list[str]:
        """All attributes, ascending."""
        return sorted({name for source in self.sources for name in source.names})

    def kinds(self, name: str) -> list[Kind]:
        """The types that an attribute's values have."""
        return [kind for kind in Kind if any(kind in source.kinds(name) for source in self.sources)]

    def may_have(self, name: str, value: Value) -> bool:
        """Whether an item has this value; of numbers only whether it lies between the least and the greatest."""
        return any(source.may_have(name, value) for source in self.sources)

    def with_values(self, name: str, kind: Kind) -> AttributeColumns:
        """The first source in which an attribute has values of a type; there is one."""
        return next(source for source in self.sources if kind in source.kinds(name))


def check_filter(rule: Filter, known: Known) -> list[str]:
    """Returns a hint for each value of ``rule`` that no item has, at most SHOWN of them.

    Raises:
        FilterError: if an attribute does not exist or has no value of the type asked for; names its place.
    """
    hints: list[str] = []
    for place, form in rule.walk():
        if isinstance(form, Range):
            _check_kinds(known, place, form.attribute, [(("min",) if form.min_ is not None else ("max",), Kind.NUMBER)])
        elif isinstance(form, Membership):
            _check_kinds(known, place, form.name, [(inner, kind_of(value)) for inner, value in _asked(form)])
            unknown = (each for each in _asked(form) if not known.may_have(form.name, each[1]))
            for inner, value in islice(unknown, SHOWN - len(hints)):
                hints.append(_hint(known, (*place, *inner), form.name, value))
    return hints


def check_attribute(name: str, known: Known, field: str) -> None:
    """Raises FilterError, which names ``field``, unless an item has a value of the attribute."""
    if not known.kinds(name):
        raise FilterError(field, f"no item has an attribute {name!r}; {_names(known, name)}")


def _check_kinds(known: Known, place: Place, name: str, asked: list[tuple[Place, Kind]]) -> None:
    """Raises FilterError unless the attribute has values of all types asked for."""
    check_attribute(name, known, _path((*place, "category" if asked[0][0][0] == "category" else "attribute")))
    kinds = known.kinds(name)
    for inner, kind in asked:
        if kind not in kinds:
            has = " and ".join(f"{each}s" for each in kinds)
            raise FilterError(_path((*place, *inner)), f"{name!r} has {has} as values, not {kind}s")


def _asked(form: Membership) -> Iterator[tuple[Place, Value]]:
    """The values that a condition names, each with its place in it."""
    for number, value in enumerate(form.values):
        if isinstance(form, In):
            yield ("in", number), value
        else:
            yield ("category", number) if isinstance(form, Category) else ("equals",), value


def _names(known: Known, name: str) -> str:
    """The attributes that are spelled most like ``name``, or some that exist."""
    names = known.names
    close = _close(name, names, SHOWN)
    if close:
        return f"did you mean {_list(close)}?"
    return f"there are {_list(names[:SHOWN])}" if names else "this catalog's items have none"


def _hint(known: Known, place: Place, name: str, value: Value) -> str:
    """Says that no item has a value, and which ones there are: those spelled most alike, or the most frequent."""
    said = f"{_path(place)}: no item has {name} {value!r}"
    columns = known.with_values(name, kind_of(value))
    summary = columns.summaries[name][kind_of(value)]
    if not isinstance(value, str):
        return f"{said}; the values lie between {summary.low} and {summary.high}"
    common = [str(each) for each, _ in summary.common]
    close = _close(value, dict.fromkeys([*common, *_neighbours(columns, name, value)]), 3)
    return f"{said}; did you mean {_list(close)}?" if close else f"{said}; there are {_list(common[:SHOWN])}"


def _close(word: str, known: Iterable[str], most: int) -> list[str]:
    """The known words that are spelled most like a word; comparing takes long, so not of all, and not of long ones."""
    if len(word) > COMPARED_LENGTH:
        return []
    compared = (each for each in known if len(each) <= COMPARED_LENGTH)
    return difflib.get_close_matches(word, list(islice(compared, COMPARED)), most)


def _neighbours(columns: AttributeColumns, name: str, value: str) -> list[str]:
    """Strings that stand beside ``value`` in the order of all."""
    column = columns.column(name, Kind.STRING)
    assert column is not None
    assert column.words is not None
    place = column.words.place(value)
    return [
        column.words[code] for code in range(max(0, place - NEIGHBOURS), min(len(column.words), place + NEIGHBOURS))
    ]


def _list(values: list[str]) -> str:
    return ", ".join(map(repr, values))


def _path(place: Place) -> str:
    """A place as error messages have it."""
    return ".".join(map(str, ("filter", *place)))
