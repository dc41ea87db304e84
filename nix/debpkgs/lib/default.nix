# The part of nixpkgs' `lib` that this package set, nixbridge's functions and image expressions use.
#
# Same names and meanings as there, written anew and much smaller. One file a namespace; the functions
# of most namespaces also stand at the top, as in nixpkgs.
let
  inherit (import ./fixed-points.nix { lib = null; }) makeExtensible;

  namespaces = lib: {
    asserts = import ./asserts.nix { inherit lib; };
    attrsets = import ./attrsets.nix { inherit lib; };
    customisation = import ./customisation.nix { inherit lib; };
    debug = import ./debug.nix { inherit lib; };
    derivations = import ./derivations.nix { inherit lib; };
    fetchers = import ./fetchers.nix { inherit lib; };
    filesystem = import ./filesystem.nix { inherit lib; };
    fixedPoints = import ./fixed-points.nix { inherit lib; };
    generators = import ./generators.nix { inherit lib; };
    licenses = import ./licenses.nix { inherit lib; };
    lists = import ./lists.nix { inherit lib; };
    maintainers = { };
    meta = import ./meta.nix { inherit lib; };
    platforms = import ./platforms.nix { inherit lib; };
    sources = import ./sources.nix { inherit lib; };
    strings = import ./strings.nix { inherit lib; };
    systems = import ./systems.nix { inherit lib; };
    teams = { };
    trivial = import ./trivial.nix { inherit lib; };
    versions = import ./versions.nix { inherit lib; };
  };
in
makeExtensible (
  lib:
  let
    spaces = namespaces lib;
  in
  spaces.asserts
  // spaces.attrsets
  // spaces.customisation
  // spaces.debug
  // spaces.derivations
  // spaces.filesystem
  // spaces.fixedPoints
  # Two names are in lists and in strings; at the top each has one meaning.
  // removeAttrs spaces.lists [ "hasPrefix" ]
  // removeAttrs spaces.strings [ "replicate" ]
  // spaces.meta
  // spaces.sources
  // spaces.trivial
  // spaces
)
