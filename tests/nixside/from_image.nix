# Images upon one that is pulled from a registry, and upon each other.
{
  registry ? "127.0.0.1:1",
  digest ? "sha256:${builtins.concatStringsSep "" (builtins.genList (_: "0") 64)}",
  sha256 ? "",
  manifest ? null,
  # Any store path or file.
  base ? null,
}:
let
  pkgs = import ../../nix/debpkgs { };
  inherit ((import ../../nix { inherit pkgs; }).nix2container)
    buildImage
    buildLayer
    pullImage
    pullImageFromManifest
    ;
  upon =
    fromImage: arguments:
    buildImage (
      {
        name = "upon";
        tag = "test";
        inherit fromImage;
        config.entrypoint = [
          "${pkgs.coreutils}/bin/cat"
          "/etc/base-release"
        ];
      }
      // arguments
    );
in
rec {
  pulled = pullImage {
    imageName = "${registry}/team/base";
    imageDigest = digest;
    inherit sha256;
    tlsVerify = false;
  };
  fromManifest = pullImageFromManifest {
    imageName = "team/base";
    imageManifest = manifest;
    registryUrl = registry;
    tlsVerify = false;
  };
  inherit (fromManifest) getManifest;

  uponPulled = upon pulled { };
  uponManifest = upon fromManifest { };
  uponBase = upon base { };
  uponOther = upon base { arch = "arm64"; };
  # Twice: upon an image that is described by us.
  uponUpon = upon uponBase {
    config = {
      Env = [
        "GREETING=hello"
        "B=2"
      ];
      Labels.own = "yes";
      Cmd = [ "/etc/base-release" ];
    };
    layers = [ (buildLayer { deps = [ pkgs.coreutils ]; }) ];
    copyToRoot = pkgs.writeTextDir "etc/own" "own";
    initializeNixDatabase = true;
  };
}
