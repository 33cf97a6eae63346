"""Random items and filters for tests, and what a filter means, written down a second time and as plainly as can be."""

from typing import Any

from hypothesis import strategies as st

STRINGS = ["red", "blue", "Red", "1", "true", ""]
NUMBERS: list[Any] = [0, 1, -1, 2.5, 1e300, -0.0, True]
NAMES = ["category", "price", "color", "stock", "odd"]

scalars = st.sampled_from(STRINGS) | st.sampled_from(NUMBERS) | st.booleans()
values = scalars | st.lists(scalars | st.none(), max_size=3) | st.none() | st.just({"red": 1}) | st.just(10**400)
fields = st.dictionaries(st.sampled_from(NAMES), values, max_size=4)
metadata = st.builds(
    lambda outer, nested, more: {**outer, **more, **({} if nested is None else {"attributes": nested})},
    fields,
    st.none() | fields,
    st.fixed_dictionaries({}, optional={"title": st.just("red"), "image": st.just("1")}),
)

names = st.sampled_from([*NAMES, "nobody has it"])
numbers = st.sampled_from([-1, 0, 1.0, 2.5, 1e300])
strings = st.sampled_from([*STRINGS, "nobody has it"])


def _range(name: str, low: float | None, high: float | None) -> dict[str, Any]:
    ends = sorted(end for end in (low, high) if end is not None) or [0.0]
    names_of_ends = ["min", "max"] if len(ends) == 2 else ["min" if high is None else "max"]
    return {"attribute": name, **dict(zip(names_of_ends, ends, strict=True))}


conditions = st.one_of(
    st.builds(lambda name, value: {"attribute": name, "equals": value}, names, scalars),
    st.builds(lambda name, some: {"attribute": name, "in": some}, names, st.lists(scalars, min_size=1, max_size=3)),
    st.builds(_range, names, st.none() | numbers, st.none() | numbers),
    st.builds(lambda value: {"category": value}, strings.filter(bool) | st.lists(strings.filter(bool), min_size=1)),
    st.builds(lambda value: {"available": value}, st.booleans()),
)
filters = st.recursive(
    conditions,
    lambda inner: st.one_of(
        st.builds(lambda parts: {"all": parts}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda parts: {"any": parts}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda part: {"not": part}, inner),
    ),
    max_leaves=6,
).filter(lambda rule: depth(rule) <= 8)


def depth(rule: dict[str, Any]) -> int:
    """How many forms stand inside each other."""
    inner = [*rule.get("all", []), *rule.get("any", []), *([rule["not"]] if "not" in rule else [])]
    return 1 + max(map(depth, inner), default=0)


def allows(rule: dict[str, Any], item: dict[str, Any], available: bool = True) -> bool:
    """Whether a filter lets an item pass, the default about availability included."""
    return (available or "available" in str(rule)) and satisfies(rule, item, available)


def satisfies(rule: dict[str, Any], item: dict[str, Any], available: bool) -> bool:
    """Whether an item satisfies a form."""
    if "all" in rule:
        return all(satisfies(part, item, available) for part in rule["all"])
    if "any" in rule:
        return any(satisfies(part, item, available) for part in rule["any"])
    if "not" in rule:
        return not satisfies(rule["not"], item, available)
    if "available" in rule:
        return available is rule["available"]
    return has_value(rule, held(item, rule.get("attribute", "category")))


def has_value(rule: dict[str, Any], have: list[Any]) -> bool:
    """Whether one of an attribute's values is asked for by a condition."""
    if "min" not in rule and "max" not in rule:
        wanted = rule.get("in") or rule.get("category") or [rule["equals"]]
        wanted = [wanted] if isinstance(wanted, str) else wanted
        return any(same(value, want) for value in have for want in wanted)
    low, high = rule.get("min", float("-inf")), rule.get("max", float("inf"))
    return any(type(value) in (int, float) and low <= value <= high for value in have)


def held(item: dict[str, Any], name: str) -> list[Any]:
    """The values that an item has of an attribute."""
    nested = item.get("attributes")
    value = item[name] if name in item else nested.get(name) if isinstance(nested, dict) else None
    if isinstance(value, list):
        return [part for part in value if isinstance(part, str)]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 1e308:
        return []
    return [value] if isinstance(value, str | bool | int | float) else []


def same(left: Any, right: Any) -> bool:
    """Equal with their types, where whole numbers and others are of one type."""
    kinds = [str if isinstance(value, str) else bool if isinstance(value, bool) else float for value in (left, right)]
    return kinds[0] is kinds[1] and bool(left == right)
