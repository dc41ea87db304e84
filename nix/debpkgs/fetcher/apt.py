"""The Debian archive, asked through apt with a configuration of our own.

apt gets a private directory for one suite: its sources, lists and an empty list of installed
packages. So the answer does not depend on what this machine has installed or pinned, no root is
needed, and any suite of the archive that the machine uses already can be asked for.
Packages are downloaded by exact version; `store` and the lock check what arrives.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .errors import DebpkgsError
from .files import sha256_of_file

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
SOURCES = Path("/etc/apt")

# A suite that is a release itself, and not `bookworm-security` or `stable-updates`.
_RELEASE = re.compile(r"[a-z]+")

_CONFIGURATION = """\
Dir::Etc::SourceList "{directory}/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
Dir::State "{directory}/state";
Dir::State::Lists "{directory}/state/lists";
Dir::State::status "{directory}/state/status";
Dir::Cache "{directory}/cache";
APT::Architecture "amd64";
APT::Architectures "amd64";
APT::Default-Release "";
APT::Install-Recommends "false";
APT::Sandbox::User "";
APT::Update::Error-Mode "any";
Acquire::Languages "none";
Acquire::Retries "2";
Debug::NoLocking "true";
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Package:
    """What the archive's index says about one package.

    `depends` is one tuple of alternatives for each clause of Depends and Pre-Depends.
    """

    name: str
    version: str
    filename: str
    size_bytes: int
    sha256: str
    depends: tuple[tuple[str, ...], ...] = ()
    provides: tuple[str, ...] = ()


def find_archive(sources: Path = SOURCES) -> str:
    """Return the URI of the Debian archive that this machine's apt uses.

    Reads both forms of sources: deb822 (`debian.sources`) and one line (`sources.list`).
    """
    candidates: list[tuple[int, str]] = []
    for path in [sources / "sources.list", *sorted((sources / "sources.list.d").glob("*"))]:
        if not path.is_file():
            continue
        text = path.read_text(errors="replace")
        found = _deb822_sources(text) if path.suffix == ".sources" else _one_line_sources(text)
        for uri, suites, components, options in found:
            is_release = any(_RELEASE.fullmatch(suite) for suite in suites)
            if "main" not in components or not is_release or "security" in uri:
                continue
            # Other vendors have suites and components of the same names.
            score = 2 * ("debian-archive" in options) + uri.rstrip("/").endswith("/debian")
            candidates.append((score, uri))
    if not candidates:
        raise DebpkgsError(
            f"no Debian archive in the apt sources below `{sources}`",
            hint="name one with `--archive URI`",
        )
    return max(candidates, key=lambda candidate: candidate[0])[1]


def _deb822_sources(text: str) -> Iterable[tuple[str, list[str], list[str], str]]:
    for block in parse_control(text):
        if "deb" in block.get("Types", "").split() and block.get("Enabled", "yes") != "no":
            for uri in block.get("URIs", "").split():
                suites, components = block.get("Suites", ""), block.get("Components", "")
                yield uri, suites.split(), components.split(), block.get("Signed-By", "")


def _one_line_sources(text: str) -> Iterable[tuple[str, list[str], list[str], str]]:
    for line in text.splitlines():
        match = re.match(r"\s*deb\s+(\[[^]]*\])?\s*(\S+)\s+(\S+)\s+([^#]*)", line)
        if match:
            yield match[2], [match[3]], match[4].split(), match[1] or ""


def parse_control(text: str) -> list[dict[str, str]]:
    """Read paragraphs of `Key: value` lines with continuation lines, as Debian writes them."""
    paragraphs = []
    for block in re.split(r"\n\s*\n", text):
        fields: dict[str, str] = {}
        key = ""
        for line in block.splitlines():
            if line.startswith("#"):
                continue
            if line[:1].isspace() and key:
                fields[key] += "\n" + line.strip()
            elif ":" in line:
                key, _, value = line.partition(":")
                fields[key] = value.strip()
        if fields:
            paragraphs.append(fields)
    return paragraphs


def parse_relation(text: str) -> tuple[tuple[str, ...], ...]:
    """Read a Depends or Provides field down to the names: clauses of alternatives."""
    return tuple(
        tuple(re.split(r"[\s:(\[]", name.strip(), maxsplit=1)[0] for name in clause.split("|"))
        for clause in text.split(",")
        if clause.strip()
    )


class Archive:
    """One suite of a Debian archive."""

    def __init__(self, *, suite: str, uri: str, directory: Path) -> None:
        self.suite = suite
        self.uri = uri
        self._directory = directory
        self._configuration = directory / "apt.conf"

    def update(self) -> None:
        """Write the private configuration and fetch the suite's index."""
        if not KEYRING.exists():
            raise DebpkgsError(
                f"`{KEYRING}` is missing, so nothing from the archive can be trusted",
                hint="install the package debian-archive-keyring",
            )
        for part in ("state/lists/partial", "cache/archives/partial"):
            (self._directory / part).mkdir(parents=True, exist_ok=True)
        (self._directory / "state/status").write_text("")
        self._configuration.write_text(_CONFIGURATION.format(directory=self._directory))
        source = f"deb [signed-by={KEYRING}] {self.uri} {self.suite} main\n"
        (self._directory / "sources.list").write_text(source)
        self._run(["apt-get", "-qq", "update"], f"fetch the index of `{self.suite}`")

    def offered(self, names: Iterable[str]) -> dict[str, Package]:
        """Return what the archive has of these packages; what it lacks is left out."""
        wanted = sorted(set(names))
        # apt-cache fails when one name is unknown, and still prints the others.
        shown = self._apt(["apt-cache", "show", *wanted])
        packages: dict[str, Package] = {}
        for fields in parse_control(shown.stdout):
            package = Package(
                name=fields["Package"],
                version=fields["Version"],
                filename=fields["Filename"],
                size_bytes=int(fields["Size"]),
                sha256=fields["SHA256"],
                depends=parse_relation(fields.get("Pre-Depends", ""))
                + parse_relation(fields.get("Depends", "")),
                provides=tuple(c[0] for c in parse_relation(fields.get("Provides", ""))),
            )
            packages.setdefault(package.name, package)
        return packages

    def resolve(self, names: Iterable[str]) -> dict[str, Package]:
        """Return everything that apt would install for these names on an empty system."""
        argv = ["apt-get", "--simulate", "install", *sorted(set(names))]
        plan = self._run(argv, f"resolve the packages of `{self.suite}`")
        return self.offered(re.findall(r"^Inst (\S+) ", plan, re.MULTILINE))

    def download(self, packages: Sequence[Package], into: Path) -> dict[str, Path]:
        """Download packages and return their files by sha256."""
        into.mkdir(parents=True, exist_ok=True)
        argv = ["apt-get", "-qq", "download", *[f"{p.name}={p.version}" for p in packages]]
        self._run(argv, f"download {len(packages)} packages of `{self.suite}`", cwd=into)
        return {sha256_of_file(path): path for path in into.glob("*.deb")}

    def _apt(self, argv: list[str], cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        if shutil.which(argv[0]) is None:
            raise DebpkgsError(
                f"`{argv[0]}` is not on this machine",
                hint="fetching needs a Debian system; see nix/debpkgs/README.md",
            )
        # The outermost of apt's configuration files: it overrides the machine's own.
        command = [argv[0], "-c", str(self._configuration), *argv[1:]]
        with tempfile.TemporaryFile("w+") as errors:
            result = subprocess.run(
                command, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=cwd, check=False
            )
            errors.seek(0)
            result.stderr = errors.read()
        return result

    def _run(self, argv: list[str], doing: str, cwd: Path | None = None) -> str:
        result = self._apt(argv, cwd)
        if result.returncode != 0:
            lines = [line for line in result.stderr.splitlines() if line.startswith(("E:", "W:"))]
            detail = "\n  ".join(lines[:5]) or f"exit status {result.returncode}"
            raise DebpkgsError(
                f"apt could not {doing} from {self.uri}:\n  {detail}",
                hint="is the network there? `--archive URI` names another archive",
            )
        return result.stdout
