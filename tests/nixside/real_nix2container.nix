# nix2container's functions from a checkout of it, with its program built elsewhere, on our package set.
{
  repository,
  # A directory with nix2container's `bin/nix2container`, static.
  program,
}:
let
  set = import ../../nix/debpkgs { };
  pkgs = set // {
    buildGoModule = _: {
      outPath = builtins.path {
        name = "nix2container-bin";
        path = program;
      };
    };
    lib = set.lib // {
      traceIf = condition: message: if condition then builtins.trace message else (value: value);
    };
  };
in
(import repository { inherit pkgs; }).nix2container
