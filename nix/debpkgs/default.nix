# A package set shaped like nixpkgs, made from Debian's packages.
#
#   import nix/debpkgs { }                        the set for trixie
#   import nix/debpkgs { suite = "bookworm"; }    the set for bookworm
#
# This file only wires. README.md says which file does what, and how to fetch what a lock names.
{
  suite ? "trixie",
  system ? builtins.currentSystem or "x86_64-linux",
  overlays ? [ ],
  # Taken because callers of nixpkgs pass it; nothing here can be configured.
  config ? { },
}:
let
  lib = import ./lib;
  spec = lib.importTOML ./packages.toml;

  suites = map (lib.removeSuffix ".json") (builtins.attrNames (builtins.readDir ./locks));
  lock =
    if !builtins.elem suite suites then
      throw "debpkgs: there is no suite `${suite}`; there are: ${lib.concatStringsSep ", " suites}"
    else
      lib.importJSON (./locks + "/${suite}.json");

  # What the set is before anybody's overlays; each layer sees the finished set as `final`.
  layers = [
    (final: _: {
      inherit
        config
        lib
        overlays
        system
        ;
      # The same wherever it is imported from, and whatever Python has left there.
      path = builtins.path {
        name = "source";
        path = ./.;
        filter = path: _: baseNameOf path != "__pycache__";
      };
      extend = overlay: build (overlays ++ [ overlay ]);
      appendOverlays = more: build (overlays ++ more);
      callPackage = lib.callPackageWith final;
      callPackages = lib.callPackagesWith final;
      newScope = scope: lib.callPackageWith (final // scope);
      pkgs = final;
    })
    (import ./units.nix { inherit lib lock spec; })
    (import ./stdenv.nix { inherit lib; })
    (import ./build-support.nix { inherit lib; })
    (import ./names.nix { inherit lib lock spec; })
    (import ./python.nix { inherit lib spec; })
  ];

  build = overlays: lib.fix (lib.extends (lib.composeManyExtensions (layers ++ overlays)) (_: { }));
in
if system == lock.system then
  build overlays
else
  throw "debpkgs: nothing is locked for `${system}`; the suites are for ${lock.system} only"
