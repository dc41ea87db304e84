# The shell to work on nixbridge in: `nix develop`.
#
# Its `nixbridge`, and what pytest and mypy read, is the checkout that the shell is entered in.
{
  pkgs,
  # The program of `nix run .#pynixify`, or null.
  pynixify ? null,
}:
let
  # For the metadata, by which plugins are found. Without its tests: one works here to mend them.
  nixbridge = import ./nixbridge.nix {
    inherit pkgs;
    doCheck = false;
  };

  python = pkgs.python3.withPackages (packages: [
    packages.hatchling
    packages.hypothesis
    packages.isal
    packages.jinja2
    packages.jsonschema
    packages.mypy
    packages.pytest
    packages.pytest-timeout
    packages.typer
    packages.urllib3
    packages.zstandard
  ]);

  # The embedded package set has no ruff, no nixfmt, and not what pynixify needs.
  others = builtins.filter (package: package != null) [
    pynixify
    (pkgs.nixfmt or null)
    (pkgs.ruff or null)
  ];
in
pkgs.mkShell {
  name = "nixbridge";
  packages = [
    nixbridge
    pkgs.nix
    python
  ]
  ++ others;
  shellHook = ''
    export PYTHONPATH=$PWD:${nixbridge}/${pkgs.python3.sitePackages}
  '';
}
