# The parts of nixpkgs that `nix/` uses, made of the machine's own shell and jq: for tests that
# build in a blink, outside the sandbox.
{ path }:
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
        inherit name;
        system = builtins.currentSystem;
        builder = "/bin/sh";
        args = [
          "-ec"
          # Structured attributes reach the builder as files alone.
          ''
            PATH=${path}
            if [ -e .attrs.json ]; then out=$(jq -r .outputs.out .attrs.json); fi
            ${script}
          ''
        ];
      }
    )
    // {
      meta = attributes.meta or { };
    }
    // attributes.passthru or { };
  pkgs = {
    inherit runCommandLocal;
    runCommand = runCommandLocal;
    writeText =
      name: text:
      runCommandLocal name {
        inherit text;
        passAsFile = [ "text" ];
      } ''cp "$textPath" "$out"'';
    stdenv.hostPlatform.system = "x86_64-linux";
    buildPackages = pkgs // {
      jq = null;
    };
    lib.toLower =
      let
        characters = text: builtins.genList (i: builtins.substring i 1 text) (builtins.stringLength text);
      in
      builtins.replaceStrings (characters "ABCDEFGHIJKLMNOPQRSTUVWXYZ") (
        characters "abcdefghijklmnopqrstuvwxyz"
      );
  };
in
pkgs
