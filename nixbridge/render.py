"""From a spec to a Nix expression, through a Jinja2 template.

Every value reaches Nix through `to_nix`, which Jinja calls for whatever stands in `{{ }}`; a
template's own text is not touched. So a value is a Nix literal that evaluates to exactly itself,
and can neither add an attribute nor run an expression. What a spec holds is `spec/`, the templates
are in the top-level `templates/`.
"""

from __future__ import annotations

import math
import re
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import jinja2

from nixbridge.errors import InputError
from nixbridge.plugins import PluginGroup, load_plugin
from nixbridge.share import templates_directory
from nixbridge.spec import ConfigSection, Debpkgs, Healthcheck, ImageSection, ImageSpec, LookupPath

# https://nix.dev/manual/nix/2.26/language/syntax#identifier
_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_'-]*", re.ASCII)
_KEYWORDS: Final = frozenset(
    {"assert", "else", "if", "in", "inherit", "let", "or", "rec", "then", "with"}
)
# The rest of what Nix's path literals may hold is quoted, to be plain to a reader.
_PLAIN_PATH: Final = re.compile(r"(/[A-Za-z0-9._+-]+)+", re.ASCII)
_MAX_INTEGER: Final = 2**63 - 1
_STRING_ESCAPES: Final = str.maketrans(
    {"\\": r"\\", '"': r"\"", "\n": r"\n", "\r": r"\r", "\t": r"\t"}
)

# How jinja names one of our values, and how a template does.
_CLASS: Final = re.compile(r"'nixbridge\.[\w.]+\.(\w+) object'")
_SECTIONS: Final[Mapping[str, str]] = {
    "ImageSpec": "`spec`",
    "NixSection": "`spec.nix`",
    "ImageSection": "`spec.image`",
    "ConfigSection": "`spec.image.config`",
    "Healthcheck": "`spec.image.config.healthcheck`",
    "LayeringSection": "`spec.layering`",
    "DockerSection": "`spec.docker`",
}


@dataclass(frozen=True, slots=True)
class NixText:
    """Text that is Nix already: made in this module alone, of values that were checked."""

    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Template:
    """A template that a spec may name; registered as an entry point of `nixbridge.templates`.

    `file` is an absolute path, or a file in our own templates' folder; a spec to begin with may lie
    beside it, `NAME.toml` beside `NAME.nix.j2`. `takes` are the keys of a
    spec that the template knows, or names of sections all of whose keys it knows; any other that is
    given is refused, for it would be left out without a word.
    """

    file: str
    takes: frozenset[str]


DOCKER_TEMPLATE: Final = Template(
    file="docker.nix.j2",
    takes=frozenset(
        {
            "docker",
            "image.annotations",
            "image.config.cmd",
            "image.config.entrypoint",
            "image.config.env",
            "image.config.healthcheck",
            "image.config.labels",
            "image.config.ports",
            "image.config.stop_signal",
            "image.config.volumes",
            "image.config.working_dir",
            "image.description",
            "image.name",
            "image.packages",
            "image.revision",
            "image.source",
            "image.tag",
            "image.title",
            "image.vendor",
            "image.version",
            "layering",
            "nix",
            "template",
        }
    ),
)
IMAGE_TEMPLATE: Final = Template(
    file="image.nix.j2", takes=frozenset({"image", "layering", "nix", "template"})
)


def render(spec: ImageSpec) -> str:
    """Return the Nix expression that the spec's template makes of it.

    Raises `InputError`: there is no such template, it does not take what the spec says, it is
    wrong itself, or a value has no literal in Nix.
    """
    source = _template_file(spec)
    environment = jinja2.Environment(
        autoescape=False,  # noqa: S701 - the text is Nix, and finalize is its escape
        finalize=to_nix,
        keep_trailing_newline=True,
        # A template of the user's may include or extend one of ours.
        loader=jinja2.FileSystemLoader([source.parent, templates_directory()]),
        lstrip_blocks=True,
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"attribute": _attribute, "nix": _indented, "package": _package}
    try:
        return environment.get_template(source.name).render(
            spec=spec,
            import_packages=NixText(_import_packages(spec.nix.packages)),
            config=_oci_config(spec.image.config),
            labels=_oci_labels(spec.image),
        )
    except jinja2.TemplateNotFound as error:
        missing = source.parent / str(error.name)
        raise InputError(f"in {spec.path}, `template` needs `{missing}`, which is not there") from (
            error
        )
    except jinja2.TemplateSyntaxError as error:
        raise InputError(
            f"{error.filename or source} is wrong at line {error.lineno}: {error.message}"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{source} cannot be read: {error}") from error
    except InputError:
        raise
    except Exception as error:  # a template may do whatever Python can fail at
        place = _last_line(error)
        if place is None and not isinstance(error, jinja2.TemplateError):
            raise  # not the template's doing
        what = _CLASS.sub(lambda name: _SECTIONS.get(name[1], name[0]), str(error))
        if not isinstance(error, jinja2.TemplateError):
            what = f"{type(error).__name__}: {what}"
        raise InputError(f"{place or source} cannot be rendered: {what}") from error


def _last_line(error: Exception) -> str | None:
    """Return the file and line of the template that was rendered when `error` happened."""
    lines = [
        f"{frame.f_code.co_filename}:{line}"
        for frame, line in traceback.walk_tb(error.__traceback__)
        if frame.f_code.co_filename.endswith(".j2")
    ]
    return lines[-1] if lines else None


def to_nix(value: object, *, indent: int = 0) -> str:  # noqa: C901, PLR0911 - a case a type
    """Return the Nix literal that evaluates to exactly `value`, in nixfmt's shape.

    Lines after the first are indented by `indent` spaces, and more. A `Path` becomes a path.

    Raises `InputError`: Nix has no such value.
    """
    match value:
        case jinja2.Undefined():
            return str(value)  # raises: our templates are strict
        case NixText():
            return value.text
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int():
            return _integer(value)
        case float():
            return _float(value)
        case str():
            return _string(value)
        case Path():
            text = str(value)
            return text if _PLAIN_PATH.fullmatch(text) else f"(/. + {_string(text)})"
        case Mapping():
            return _attribute_set(value, indent)
        case list() | tuple():
            return _list(value, indent)
        case _:
            raise InputError(f"a value of the type `{type(value).__name__}` has no literal in Nix")


def _indented(value: object, indent: int) -> NixText:
    """Return the literal of `value` for a place that is indented by `indent` spaces."""
    return NixText(to_nix(value, indent=indent))


def _string(text: str) -> str:
    if "\0" in text:
        raise InputError(f"{text!r} holds a NUL character, which no string in Nix can")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{text!r} holds half a character, which no file can") from error
    return '"' + text.translate(_STRING_ESCAPES).replace("${", r"\${") + '"'


def _integer(number: int) -> str:
    if not -_MAX_INTEGER - 1 <= number <= _MAX_INTEGER:
        raise InputError(f"{number} does not fit into 64 bits, as numbers in Nix must")
    if number < -_MAX_INTEGER:
        # There are no negative literals, and this one's opposite does not fit.
        return f"(-{_MAX_INTEGER} - 1)"
    # Without parentheses, a list would read a minus as an operator.
    return str(number) if number >= 0 else f"({number})"


def _float(number: float) -> str:
    if not math.isfinite(number):
        raise InputError(f"{number} is no number in Nix")
    if number != 0 and abs(number) < sys.float_info.min:
        raise InputError(f"{number} is too near to zero for a number in Nix")
    if math.copysign(1, number) < 0:
        # The minus of Nix takes from zero, so it cannot make a negative one.
        return f"(-1 * {_float(-number)})"
    mantissa, exponent_sign, exponent = repr(number).partition("e")
    return (mantissa if "." in mantissa else f"{mantissa}.0") + exponent_sign + exponent


def _list(values: Sequence[object], indent: int) -> str:
    elements = [to_nix(value, indent=indent + 2) for value in values]
    if not elements:
        return "[ ]"
    if len(elements) == 1 and "\n" not in elements[0]:
        return f"[ {elements[0]} ]"
    margin = "\n" + " " * indent
    return "[" + "".join(f"{margin}  {element}" for element in elements) + f"{margin}]"


def _attribute_set(values: Mapping[object, object], indent: int) -> str:
    if not values:
        return "{ }"
    margin = "\n" + " " * indent
    lines = [
        f"{margin}  {_attribute(key).text} = {to_nix(value, indent=indent + 2)};"
        for key, value in values.items()
    ]
    return "{" + "".join(lines) + f"{margin}}}"


def _attribute(name: object) -> NixText:
    """Return the name of an attribute, quoted where it must be."""
    if not isinstance(name, str):
        raise InputError(f"a value of the type `{type(name).__name__}` cannot name an attribute")
    is_plain = _IDENTIFIER.fullmatch(name) and name not in _KEYWORDS
    return NixText(name if is_plain else _string(name))


def _package(attribute_path: str) -> NixText:
    """Return the package in `pkgs` that an attribute path of a spec names."""
    return NixText(".".join(["pkgs", *(_attribute(a).text for a in attribute_path.split("."))]))


def _import_packages(packages: LookupPath | Debpkgs | Path) -> str:
    match packages:
        case LookupPath():
            return f"import {packages.text} {{ }}"
        case Debpkgs(suite=None):
            return "import <nixbridge/debpkgs> { }"
        case Debpkgs():
            return f"import <nixbridge/debpkgs> {{ suite = {to_nix(packages.suite)}; }}"
        case _:
            return f"import {to_nix(packages)} {{ }}"


def _oci_config(config: ConfigSection) -> dict[str, Any]:
    """Return the config in OCI's words, but for `Env` and `Labels`, which templates add to."""
    values: dict[str, Any] = {
        "Entrypoint": config.entrypoint,
        "Cmd": config.cmd,
        "User": None if config.user is None else str(config.user.uid),
        "WorkingDir": config.working_dir,
        "ExposedPorts": {port: {} for port in config.ports},
        "Volumes": {path: {} for path in config.volumes},
        "StopSignal": config.stop_signal,
        "Healthcheck": None if config.healthcheck is None else _oci_healthcheck(config.healthcheck),
    }
    return {key: value for key, value in values.items() if value}


def _oci_healthcheck(check: Healthcheck) -> dict[str, Any]:
    def nanoseconds(seconds: int | None) -> int | None:
        return None if seconds is None else seconds * 10**9

    values = {
        # CMD: the words are run as they are, without a shell.
        "Test": ("CMD", *check.command),
        "Interval": nanoseconds(check.interval_seconds),
        "Timeout": nanoseconds(check.timeout_seconds),
        "StartPeriod": nanoseconds(check.start_period_seconds),
        "Retries": check.retries,
    }
    return {key: value for key, value in values.items() if value is not None}


def _oci_labels(image: ImageSection) -> dict[str, str]:
    """Return the image's labels: those that have keys of their own, and any others.

    https://github.com/opencontainers/image-spec/blob/v1.1.0/annotations.md#pre-defined-annotation-keys
    """
    values = {
        "title": image.title or image.name,
        "description": image.description,
        "version": image.version,
        "revision": image.revision,
        "source": image.source,
        "vendor": image.vendor,
    }
    known = {f"org.opencontainers.image.{key}": value for key, value in values.items() if value}
    return known | dict(image.config.labels)


def first_spec(template: str, *, image_name: str) -> str:
    """Return a spec to begin with: the file that lies beside the template, for that image.

    Raises `InputError`: there is no such template, or no such file.
    """
    found = _find_template(template, refusal=f"there is no template `{template}`")
    file = templates_directory() / f"{found.file.removesuffix('.nix.j2')}.toml"
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"the template `{template}` has no spec to begin with: `{file}`: {error.strerror}"
        ) from error
    return text.replace('name = "app"', f'name = "{image_name}"', 1)


def _template_file(spec: ImageSpec) -> Path:
    """Return the file of the spec's template, once it is known to take what the spec says."""
    if isinstance(spec.template, Path):
        return spec.template
    template = _find_template(
        str(spec.template), refusal=f"in {spec.path}, `template` is unknown: `{spec.template}`"
    )
    not_taken = sorted(key for key in spec.given if not _takes(template, key))
    if not_taken:
        keys = ", ".join(f"`{key}`" for key in not_taken)
        raise InputError(
            f"in {spec.path}, {keys} cannot be used with the template `{spec.template}`",
            hint="leave it out, or choose another `template`",
        )
    return templates_directory() / template.file


def _takes(template: Template, key: str) -> bool:
    """Tell whether the template takes `key`, or a section it is in."""
    return any(key == taken or key.startswith(f"{taken}.") for taken in template.takes)


def _find_template(name: str, *, refusal: str) -> Template:
    template = load_plugin(PluginGroup.TEMPLATES, name, refusal=refusal)
    if not isinstance(template, Template):
        raise InputError(
            f"the template `{name}` is registered as {template!r}, "
            "which is no `nixbridge.render.Template`"
        )
    return template
