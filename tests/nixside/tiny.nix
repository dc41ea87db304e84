# The parts of nixpkgs that `nix/` uses, for tests that only evaluate.
{
  system ? "x86_64-linux",
}:
let
  runCommandLocal =
    name: attributes: script:
    derivation (
      removeAttrs attributes [
        "meta"
        "nativeBuildInputs"
        "passthru"
      ]
      // {
        inherit name script;
        system = "x86_64-linux";
        builder = "/bin/sh";
      }
    )
    // {
      meta = attributes.meta or { };
    }
    // attributes.passthru or { };
  characters = text: builtins.genList (i: builtins.substring i 1 text) (builtins.stringLength text);
  pkgs = {
    inherit runCommandLocal;
    writeText = name: text: runCommandLocal name { } text;
    stdenv.hostPlatform = { inherit system; };
    buildPackages = pkgs;
    jq = null;
    lib.toLower = builtins.replaceStrings (characters "ABCDEFGHIJKLMNOPQRSTUVWXYZ") (
      characters "abcdefghijklmnopqrstuvwxyz"
    );
  };
in
pkgs
