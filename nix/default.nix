# The functions that turn a closure into the description of an image:
#
#   inherit (import nixbridge { inherit pkgs; }) buildImage buildLayer;
#
# They take nix2container's arguments and mean the same by them. They only describe: no layer is
# written by Nix. `nixbridge copy` reads the description and does the rest.
#
# `pkgs` is nixpkgs or a set of its shape; used of it are `jq`, `lib`, `writeText`, `runCommandLocal`
# and `stdenv.hostPlatform`; for pulled images also `cacert`, `runCommand`, `skopeo` and
# `writeShellApplication`.
{
  pkgs ? import <nixpkgs> { },
  # The package of the command, for what an image is delivered by: `copyTo`, `tarball` and so on.
  # Nobody's image waits for our tests.
  nixbridge ? import ./nixbridge.nix {
    pkgs = pkgs.buildPackages;
    doCheck = false;
  },
}:
let
  buildLayer = import ./build-layer.nix;
  buildImage = import ./build-image.nix { inherit deliver pkgs; };
  deliver = import ./deliver.nix {
    inherit nixbridge;
    pkgs = pkgs.buildPackages;
  };
  pullImage = import ./pull-image.nix { inherit pkgs; };
  pullImageFromManifest = import ./pull-image-from-manifest.nix { inherit pkgs; };
  functions = {
    inherit
      buildImage
      buildLayer
      pullImage
      pullImageFromManifest
      ;
  };
in
functions
// {
  inherit nixbridge;

  # The image that a nixbridge.toml stands for.
  imageFromSpec = import ./image-from-spec.nix {
    inherit nixbridge pkgs;
    nix2container = functions;
  };

  # Where nix2container has them, so that changing the import is all a user has to do.
  nix2container = functions;
}
