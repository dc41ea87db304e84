# nix2container's own tests, as they are in a checkout of it, with our functions in the place of its.
{
  repository,
  # The directory whose bin/podman the tests shall call.
  podman,
  # The command `nixbridge`.
  program,
}:
let
  pkgs = import ../../nix/debpkgs { } // {
    podman = builtins.path {
      name = "podman";
      path = podman;
    };
  };
  inherit
    (import ../../nix {
      inherit pkgs;
      nixbridge = pkgs.writeShellScriptBin "nixbridge" ''exec ${program} "$@"'';
    })
    nix2container
    ;
in
import (repository + "/tests") {
  inherit pkgs nix2container;
  examples = import (repository + "/examples") { inherit pkgs nix2container; };
}
