{
  description = "A container image";

  inputs = {
    nixpkgs.url = "github:NixOS/nixpkgs/nixos-25.11";
    nixbridge = {
      # Where you have nixbridge from: put the repository's owner here.
      url = "github:nixbridge/nixbridge";
      inputs.nixpkgs.follows = "nixpkgs";
    };
  };

  outputs =
    { nixpkgs, nixbridge, ... }:
    let
      system = "x86_64-linux";
      pkgs = nixpkgs.legacyPackages.${system};
      image = (nixbridge.lib pkgs).imageFromSpec ./nixbridge.toml { };
    in
    {
      # `nix build .#image.tarball`, `nix run .#image.copyTo -- DEST`
      packages.${system}.image = image;

      # `nix run .#image -- DEST`; without DEST, into the container engine that is there
      apps.${system}.image = {
        type = "app";
        program = pkgs.lib.getExe image.run;
      };
    };
}
