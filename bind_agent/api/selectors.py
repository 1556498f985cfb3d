"""Label selectors of claims: `labelSelectors` is a list of maps (spec 3.2.4).

Meaning, which the wire leaves open and this module fixes: an object is selected when **any** of the maps
matches it **completely**, that is, each key of the map is on the object with exactly that value. No maps
(absent or empty list) and an empty map select everything; `claims.breadth` reports both as everything, so
that nobody accepts them unawares.
"""

from collections.abc import Iterable, Mapping, Sequence

from bind_agent.api.naming import is_label_key, is_label_value

LabelMap = Mapping[str, str]


def matches(selectors: Sequence[LabelMap], labels: LabelMap) -> bool:
    """Whether an object with these labels is selected."""
    return not selectors or any(_contains(labels, selector) for selector in selectors)


def normalised(selectors: Iterable[LabelMap]) -> tuple[dict[str, str], ...]:
    """The shortest list with the same meaning, in a fixed order.

    Maps that another map already covers are left out ({a: 1} covers {a: 1, b: 2}); if one map is empty,
    everything is selected and the result is empty.
    """
    maps = sorted({tuple(sorted(selector.items())) for selector in selectors})
    if () in maps:
        return ()
    wide = [dict(own) for own in maps]
    return tuple(
        selector
        for selector in wide
        if not any(other is not selector and _contains(selector, other) for other in wide)
    )


def server_side(selectors: Sequence[LabelMap]) -> str:
    """The query for the API server when it can do the whole selection, else empty.

    A server knows conjunctions only, so the list must come down to exactly one map, and one that it would
    accept. Each object is checked again on arrival in any case.
    """
    maps = normalised(selectors)
    if len(maps) != 1 or not _acceptable(maps[0]):
        return ""
    return ",".join(f"{key}={value}" for key, value in sorted(maps[0].items()))


def problems(selectors: Iterable[LabelMap]) -> list[str]:
    """What is wrong with a list of maps: keys or values that no object can have as labels."""
    found = []
    for position, selector in enumerate(selectors):
        found += [f"[{position}]: not a label key: {key!r}" for key in selector if not is_label_key(key)]
        found += [
            f"[{position}]: not a label value: {value!r}"
            for value in selector.values()
            if not is_label_value(value)
        ]
    return found


def covers(wide: Sequence[LabelMap], narrow: Sequence[LabelMap]) -> bool:
    """Whether whatever the second list selects is certainly selected by the first one too."""
    if not normalised(wide):
        return True
    inner = normalised(narrow)
    return bool(inner) and all(any(_contains(own, other) for other in wide) for own in inner)


def _contains(labels: LabelMap, selector: LabelMap) -> bool:
    return all(labels.get(key) == value for key, value in selector.items())


def _acceptable(selector: LabelMap) -> bool:
    return all(is_label_key(key) and is_label_value(value) for key, value in selector.items())
