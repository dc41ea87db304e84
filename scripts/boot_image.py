"""Boot an image of an OCI layout and show that the Nix in it works: boot_image.py LAYOUT TAG."""

from __future__ import annotations

import sys
from pathlib import Path

from nixbridge.containers import open_container
from nixbridge.destinations.oci_layout import OciLayout
from nixbridge.errors import DestinationError

_DERIVATION = """
derivation {
  name = "made-inside";
  system = builtins.currentSystem;
  builder = "/bin/sh";
  args = [ "-c" "echo a derivation built inside the container by $0 > $out" ];
}
"""

COMMANDS = (
    ("nix --version", ["nix", "--version"]),
    ("git --version", ["git", "--version"]),
    (
        "nix-build",
        ["/bin/sh", "-c", f"cat $(nix-build --no-out-link --expr '{_DERIVATION}')"],
    ),
)


def main(directory: Path, tag: str) -> int:
    """Run the commands; print what they print; return 1 when one fails."""
    try:
        layout = OciLayout(directory=directory, name=tag)
        container, refusals = open_container(layout)
    except DestinationError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for refusal in refusals:
        print(f"  note: {refusal.splitlines()[0]}", file=sys.stderr)
    with container:
        print(f"in a container, by {container.engine}:")
        for title, argv in COMMANDS:
            result = container.run(argv)
            if result.status != 0:
                print(f"error: {title}: {result.stderr.strip()}", file=sys.stderr)
                return 1
            print(f"  {title:<15} {result.stdout.strip()}")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
