"""Options that several verbs have, as one parameter of each: a dataclass for a group of options.

A field of the class is an option, as a parameter of a verb would be: its type is annotated with a
`typer.Option`. typer itself knows no such groups, so they are taken apart for it here.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Any, get_type_hints


def expanded(verb: Callable[..., None]) -> Callable[..., None]:
    """Return a verb that has, in the place of each group, the group's options."""
    parameters: list[inspect.Parameter] = []
    groups: dict[str, type[Any]] = {}
    signature = inspect.signature(verb, eval_str=True)
    for parameter in signature.parameters.values():
        kind = parameter.annotation
        if isinstance(kind, type) and dataclasses.is_dataclass(kind):
            groups[parameter.name] = kind
            parameters += _options(kind)
        else:
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))

    @functools.wraps(verb)
    def command(**given: object) -> None:
        for name, group in groups.items():
            own = {field.name: given.pop(field.name) for field in dataclasses.fields(group)}
            given[name] = group(**own)
        verb(**given)

    command.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return command


def _options(group: type[Any]) -> list[inspect.Parameter]:
    annotations = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=(
                field.default
                if field.default_factory is dataclasses.MISSING
                else field.default_factory()
            ),
            annotation=annotations[field.name],
        )
        for field in dataclasses.fields(group)
    ]
