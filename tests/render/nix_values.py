"""Judge Nix literals with the real `nix-instantiate`, many in one run.

Values come back as JSON that loses nothing: an attribute set becomes a list of pairs, because
`builtins.toJSON` would print `{ outPath = …; }` as a string, and numbers carry their type.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_TAGGED = """
let
  tag =
    value:
    let
      type = builtins.typeOf value;
    in
    if type == "set" then
      [ "set" (map (name: [ name (tag value.${name}) ]) (builtins.attrNames value)) ]
    else if type == "list" then
      [ "list" (map tag value) ]
    else if type == "float" then
      # Nix 2.8 prints six digits; the comparison below sees them all.
      [ "float" ]
    else if type == "path" then
      [ "path" (toString value) ]
    else
      [ type value ];
in
"""


def nix_json(expression: Path, *options: str) -> Any:
    """Return what `nix-instantiate` evaluates the file to."""
    result = subprocess.run(
        [
            "nix-instantiate",
            "--eval",
            "--strict",
            "--json",
            "--readonly-mode",
            *options,
            expression,
        ],
        capture_output=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr.decode(errors="replace")
    return json.loads(result.stdout)


def evaluate_all(literals: Sequence[str], folder: Path) -> list[Any]:
    """Return each literal's value, in the form of `tagged`."""
    # In a list, a literal must be one element: what could run on would swallow its neighbour.
    elements = "\n".join(f"(tag {literal})" for literal in literals)
    expression = folder / "values.nix"
    expression.write_text(f"{_TAGGED}[\n{elements}\n]", encoding="utf-8")
    values: list[Any] = nix_json(expression)
    return values


def compare_floats(pairs: Sequence[tuple[str, float]], folder: Path) -> list[bool]:
    """Tell of each literal whether Nix reads it as the float that its JSON reader reads."""
    elements = "\n".join(
        f"({literal} == builtins.fromJSON {json.dumps(repr(number))})" for literal, number in pairs
    )
    expression = folder / "floats.nix"
    expression.write_text(f"[\n{elements}\n]", encoding="utf-8")
    equal: list[bool] = nix_json(expression)
    return equal


def tagged(value: object) -> Any:  # noqa: PLR0911 - a case a type
    """Return what `evaluate_all` gives for a literal that means `value`."""
    match value:
        case None:
            return ["null", None]
        case bool():
            return ["bool", value]
        case int():
            return ["int", value]
        case float():
            return ["float"]
        case str():
            return ["string", value]
        case Path():
            return ["path", str(value)]
        case Mapping():
            # Nix sorts names by their bytes.
            names = sorted(value, key=lambda name: str(name).encode())
            return ["set", [[name, tagged(value[name])] for name in names]]
        case Sequence():
            return ["list", [tagged(element) for element in value]]
        case _:
            raise AssertionError(value)
