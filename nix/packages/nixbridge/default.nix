# What pynixify knows of the package; `nix run .#pynixify` writes this file anew. What it does not
# know (pyproject.toml, tests) is in nix/nixbridge.nix, which is the one to build.
{
  buildPythonPackage,
  fetchPypi,
  hatchling,
  isal,
  jinja2,
  lib,
  typer,
  urllib3,
  zstandard,
}:

buildPythonPackage rec {
  pname = "nixbridge";
  version = "0.1.0";

  src = lib.cleanSource ../../..;

  buildInputs = [ hatchling ];
  propagatedBuildInputs = [
    isal
    jinja2
    typer
    urllib3
    zstandard
  ];

  # TODO FIXME
  doCheck = false;

  meta = with lib; {
    description = "Container images from Nix closures: evaluate, plan, pack and deliver";
  };
}
