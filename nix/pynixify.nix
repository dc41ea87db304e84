# `nix run .#pynixify`: write packages/ and overlay.nix anew, from pyproject.toml.
#
# It looks packages up in the nixpkgs of the flake, and asks PyPI for what is not there.
{
  pkgs,
  # Its source, a flake input.
  source,
  # The path of nixpkgs.
  nixpkgs,
}:
let
  python = pkgs.python3Packages;

  pynixify = python.buildPythonApplication {
    pname = "pynixify";
    version = "0.1";
    pyproject = true;
    src = source;
    postPatch = ''
      cp ${./pynixify-requirements.nix} pynixify/data/parse_setuppy_data.nix
    '';
    build-system = [ python.setuptools ];
    dependencies = [
      python.aiofiles
      python.aiohttp
      python.mako
      python.packaging
      python.setuptools
    ];
    # Its tests are its own.
    doCheck = false;
  };
in
if !(python ? aiofiles && python ? aiohttp && python ? mako && pkgs ? nixfmt) then
  null
else
  pkgs.writeShellApplication {
    name = "pynixify-nixbridge";
    meta.description = "Write nix/packages and nix/overlay.nix anew";
    runtimeInputs = [
      pkgs.nix
      pkgs.nixfmt
      pynixify
    ];
    text = ''
      if [ ! -e nix/packages/nixbridge/default.nix ]; then
        echo "error: there is no nix/packages here; run this at the top of the checkout" >&2
        exit 2
      fi
      scratch=$(mktemp -d)
      trap 'rm -rf "$scratch"' EXIT
      cp pyproject.toml "$scratch/"
      (
        cd "$scratch"
        export NIX_PATH=nixpkgs=${nixpkgs}
        pynixify --local nixbridge --overlay-only --output nix "$@"
      )
      cp "$scratch/nix/overlay.nix" nix/overlay.nix
      # Its heading says nothing of where the rest is.
      {
        echo "# What pynixify knows of the package; \`nix run .#pynixify\` writes this file anew. What it does not"
        echo "# know (pyproject.toml, tests) is in nix/nixbridge.nix, which is the one to build."
        sed '1,/^$/d' "$scratch/nix/packages/nixbridge/default.nix"
      } > nix/packages/nixbridge/default.nix
    '';
  }
