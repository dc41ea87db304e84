# Holds that docker.nix is what nixbridge.toml renders to.
{ pkgs, nixbridge }:
pkgs.runCommand "docker-nix-is-rendered" { nativeBuildInputs = [ nixbridge ]; } ''
  cp ${../nixbridge.toml} nixbridge.toml
  nixbridge render nixbridge.toml --check --output ${./docker.nix}
  touch $out
''
