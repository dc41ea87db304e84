# The functions that turn a closure into the description of an image:
#
#   inherit (import nixbridge { inherit pkgs; }) buildImage buildLayer;
#
# They take nix2container's arguments and mean the same by them, but for how an image is split into
# layers when nobody says; `nix2container.buildImage` does that, too, as nix2container. They only
# describe: no layer is written by Nix. `nixbridge copy` reads the description and does the rest.
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
  deliver = import ./deliver.nix {
    inherit nixbridge;
    pkgs = pkgs.buildPackages;
  };

  functionsWith = defaults: {
    buildImage = import ./build-image.nix { inherit defaults deliver pkgs; };
    buildLayer = import ./build-layer.nix { inherit defaults; };
    pullImage = import ./pull-image.nix { inherit pkgs; };
    pullImageFromManifest = import ./pull-image-from-manifest.nix { inherit pkgs; };
  };

  # The layers of which an update sends the fewest bytes; few enough to build others on top.
  functions = functionsWith {
    maxLayers = 40;
    strategy = "update-cost";
  };
in
functions
// {
  inherit nixbridge;

  # The image that a nixbridge.toml stands for.
  imageFromSpec = import ./image-from-spec.nix { inherit functions nixbridge pkgs; };

  # Where nix2container has them, so that changing the import is all a user has to do: the image is
  # split into layers as nix2container does it.
  nix2container = functionsWith {
    maxLayers = 1;
    strategy = "popularity";
  };
}
