# stdenv: derivations with phases, on the set's own tools, and what such a derivation is made of.
{ lib }:
final: _:
let
  inherit (final) system;

  platform = lib.systems.elaborate system;
  shell = "${final.bash}/bin/bash";

  # What every build finds in PATH, as with nixpkgs' stdenv; there is no compiler.
  initialPath = [
    final.coreutils
    final.findutils
    final.diffutils
    final.gnused
    final.gnugrep
    final.gawk
    final.gnutar
    final.gzip
    final.bzip2
    final.gnumake
    final.bash
    final.patch
    final.xz
  ];

  # A derivation with what consumers of nixpkgs' packages read from one: an attribute for each output,
  # `meta`, `passthru`, `overrideAttrs`. `common` is what all its outputs have.
  makePackage =
    { attributes, common }:
    let
      outputs = attributes.outputs or [ "out" ];
      drv = derivation attributes;
      shared = {
        inherit outputs;
        all = map (output: package.${output}) outputs;
        drvAttrs = attributes;
        overrideAttrs =
          change:
          makePackage {
            attributes = attributes // lib.toFunction change attributes;
            inherit common;
          };
        meta = { };
        passthru = { };
      }
      // common;
      package =
        drv
        // shared
        // lib.genAttrs outputs (
          output:
          drv.${output}
          // shared
          // lib.genAttrs outputs (other: package.${other})
          // {
            outputName = output;
            outputSpecified = true;
          }
        );
    in
    package;

  mkDerivation =
    function:
    let
      # Either attributes, or a function of the finished ones (finalAttrs: { … }).
      arguments = lib.fix (
        self: if lib.isFunction function then function (self // { finalPackage = package; }) else function
      );
      package = mkDerivationFrom arguments (change: mkDerivation (override function change));
    in
    package;

  # What overrideAttrs gives to mkDerivation: the old attributes with the change over them.
  override =
    function: change: self:
    let
      prev = if lib.isFunction function then function self else function;
      changed = if lib.isFunction change then change prev else change;
    in
    prev // (if lib.isFunction changed then change self prev else changed);

  mkDerivationFrom =
    arguments: overrideAttrs:
    let
      isNamed = arguments ? pname;
      name = arguments.name or "${arguments.pname}-${arguments.version}";
      pname = arguments.pname or (lib.getName name);
      version = arguments.version or (lib.getVersion name);
      passthru = arguments.passthru or { };
      meta = {
        inherit name;
        platforms = [ system ];
      }
      // arguments.meta or { };
    in
    makePackage {
      attributes =
        removeAttrs arguments [
          "meta"
          "passthru"
        ]
        // {
          inherit name system;
          # An attribute that is null does not reach the build (lib.optionalDrvAttr).
          __ignoreNulls = true;
          outputs = arguments.outputs or [ "out" ];
          builder = arguments.builder or shell;
          args =
            arguments.args or [
              "-e"
              ./default-builder.sh
            ];
          inherit (final) stdenv;
          nativeBuildInputs = lib.flatten (arguments.nativeBuildInputs or [ ]);
          buildInputs = lib.flatten (arguments.buildInputs or [ ]);
          propagatedBuildInputs = lib.flatten (arguments.propagatedBuildInputs or [ ]);
        };
      common =
        lib.optionalAttrs isNamed { inherit (arguments) pname; }
        // {
          inherit
            meta
            overrideAttrs
            passthru
            pname
            version
            ;
        }
        // passthru;
    };

  # $stdenv/setup, as nix-shell and nix develop want it.
  setup = derivation {
    name = "stdenv-debpkgs";
    inherit system;
    builder = shell;
    args = [
      "-euc"
      ''
        PATH=${final.coreutils}/bin
        mkdir $out
        {
          echo "shell=${shell}"
          echo "initialPath='${toString initialPath}'"
          cat ${./setup.sh}
        } > $out/setup
      ''
    ];
    preferLocalBuild = true;
    allowSubstitutes = false;
  };

  stdenv = setup // {
    inherit
      initialPath
      mkDerivation
      shell
      system
      ;
    hostPlatform = platform;
    buildPlatform = platform;
    targetPlatform = platform;
    inherit (platform)
      isLinux
      isDarwin
      isx86_64
      isAarch64
      ;
    hasCC = false;
    cc = throw "debpkgs: there is no compiler in this package set";
  };

in
{
  inherit makePackage stdenv;
  stdenvNoCC = stdenv;
  inherit (stdenv) mkDerivation;
  runtimeShell = shell;
  hostPlatform = platform;

  # The toolchains themselves are not here; only what image builders ask them.
  go = { inherit (platform.go) GOARCH GOOS; };

  # What nix-shell and nix develop enter; building it writes down that it can be built.
  mkShell =
    {
      name ? "nix-shell",
      packages ? [ ],
      inputsFrom ? [ ],
      nativeBuildInputs ? [ ],
      buildInputs ? [ ],
      shellHook ? "",
      ...
    }@arguments:
    let
      of = attribute: lib.concatMap (package: package.drvAttrs.${attribute} or [ ]) inputsFrom;
    in
    stdenv.mkDerivation (
      removeAttrs arguments [
        "inputsFrom"
        "packages"
      ]
      // {
        inherit name;
        nativeBuildInputs = packages ++ nativeBuildInputs ++ of "nativeBuildInputs";
        buildInputs = buildInputs ++ of "buildInputs";
        shellHook = lib.concatStringsSep "\n" (
          lib.catAttrs "shellHook" (map (package: package.drvAttrs) inputsFrom) ++ [ shellHook ]
        );
        phases = [ "buildPhase" ];
        buildPhase = "export > $out";
        preferLocalBuild = true;
      }
    );
  mkShellNoCC = final.mkShell;
}
