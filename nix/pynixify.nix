# `nix run .#pynixify`: write packages/ and overlay.nix anew, from pyproject.toml.
#
# pynixify asks a setup.py what a project needs; pynixify-setup.py is one that reads pyproject.toml.
# It looks the packages up in the nixpkgs of the flake, and asks PyPI for what is not there.
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
      cp ${./pynixify-setup.py} "$scratch/setup.py"
      (
        cd "$scratch"
        export NIX_PATH=nixpkgs=${nixpkgs}
        pynixify --local nixbridge --overlay-only --output nix "$@"
      )
      cp "$scratch/nix/overlay.nix" nix/overlay.nix
      cp "$scratch/nix/packages/nixbridge/default.nix" nix/packages/nixbridge/default.nix
    '';
  }
