# The functions of nixpkgs that make derivations, on the set's own tools.
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
        lib.extends (_: _: { }) (self: if lib.isFunction function then function (self // { finalPackage = package; }) else function)
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
    inherit (platform) isLinux isDarwin isx86_64 isAarch64;
    hasCC = false;
    cc = throw "debpkgs: there is no compiler in this package set";
  };

  runCommandWith =
    {
      name,
      derivationArgs ? { },
      stdenv ? final.stdenvNoCC,
      runLocal ? false,
    }:
    buildCommand:
    stdenv.mkDerivation (
      {
        enableParallelBuilding = true;
        inherit buildCommand name;
        passAsFile =
          lib.optional (!(derivationArgs.__structuredAttrs or false)) "buildCommand"
          ++ (derivationArgs.passAsFile or [ ]);
      }
      // lib.optionalAttrs runLocal {
        preferLocalBuild = true;
        allowSubstitutes = false;
      }
      // removeAttrs derivationArgs [ "passAsFile" ]
    );
in
{
  inherit makePackage runCommandWith stdenv;
  stdenvNoCC = stdenv;
  inherit (stdenv) mkDerivation;
  runtimeShell = shell;
  hostPlatform = platform;

  # The toolchains themselves are not here; only what image builders ask them.
  go = { inherit (platform.go) GOARCH GOOS; };

  runCommand = name: derivationArgs: runCommandWith { inherit derivationArgs name; };
  runCommandNoCC = final.runCommand;
  runCommandCC = final.runCommand;
  runCommandLocal =
    name: derivationArgs:
    runCommandWith {
      inherit derivationArgs name;
      runLocal = true;
    };

  writeTextFile =
    {
      name,
      text,
      executable ? false,
      destination ? "",
      checkPhase ? "",
      meta ? { },
      allowSubstitutes ? false,
      preferLocalBuild ? true,
      derivationArgs ? { },
      passthru ? { },
    }:
    final.runCommand name
      (
        {
          inherit
            allowSubstitutes
            checkPhase
            executable
            meta
            passthru
            preferLocalBuild
            text
            ;
          passAsFile = [ "text" ];
        }
        // derivationArgs
      )
      ''
        target=$out${lib.escapeShellArg destination}
        mkdir -p "$(dirname "$target")"
        cp "$textPath" "$target"
        if [ -n "$executable" ]; then chmod +x "$target"; fi
        eval "$checkPhase"
      '';
  writeText = name: text: final.writeTextFile { inherit name text; };
  writeTextDir =
    path: text:
    final.writeTextFile {
      name = baseNameOf path;
      inherit text;
      destination = "/${path}";
    };
  writeScript =
    name: text:
    final.writeTextFile {
      inherit name text;
      executable = true;
    };
  writeScriptBin =
    name: text:
    final.writeTextFile {
      inherit name text;
      executable = true;
      destination = "/bin/${name}";
      meta.mainProgram = name;
    };
  writeShellScript = name: text: final.writeScript name "#!${shell}\n${text}\n";
  writeShellScriptBin = name: text: final.writeScriptBin name "#!${shell}\n${text}\n";
  writeShellApplication =
    {
      name,
      text,
      runtimeInputs ? [ ],
      runtimeEnv ? { },
      meta ? { },
      passthru ? { },
      bashOptions ? [
        "errexit"
        "nounset"
        "pipefail"
      ],
      inheritPath ? true,
      # There is no shellcheck in the set; the syntax is checked.
      excludeShellChecks ? [ ],
      extraShellCheckFlags ? [ ],
      checkPhase ? "${shell} -n \"$target\"",
      derivationArgs ? { },
    }:
    final.writeTextFile {
      inherit
        checkPhase
        derivationArgs
        name
        passthru
        ;
      executable = true;
      destination = "/bin/${name}";
      meta = {
        mainProgram = name;
      }
      // meta;
      text = ''
        #!${shell}
        ${lib.concatMapStringsSep "\n" (option: "set -o ${option}") bashOptions}
        ${lib.concatStringsSep "\n" (
          lib.mapAttrsToList (variable: value: ''
            ${lib.toShellVar variable value}
            export ${variable}
          '') runtimeEnv
        )}
        ${lib.optionalString (runtimeInputs != [ ] || !inheritPath) ''
          export PATH="${lib.makeBinPath runtimeInputs}${lib.optionalString inheritPath ":$PATH"}"
        ''}
        ${text}
      '';
    };

  # A tree of links to several packages' files; build-env.sh says how directories meet.
  buildEnv = lib.makeOverridable (
    {
      name,
      paths,
      pathsToLink ? [ "/" ],
      extraPrefix ? "",
      extraOutputsToInstall ? [ ],
      ignoreCollisions ? false,
      checkCollisionContents ? true,
      postBuild ? "",
      nativeBuildInputs ? [ ],
      buildInputs ? [ ],
      meta ? { },
      passthru ? { },
      manifest ? "",
    }:
    final.runCommandLocal name
      {
        inherit
          buildInputs
          extraPrefix
          ignoreCollisions
          meta
          nativeBuildInputs
          passthru
          pathsToLink
          postBuild
          ;
        # One path a line, the more important first.
        paths = lib.concatMapStrings (
          path:
          let
            package = if lib.isDerivation path then lib.getBin path else path;
            wanted = map (output: path.${output}) (
              builtins.filter (output: path ? ${output}) extraOutputsToInstall
            );
          in
          lib.concatMapStrings (
            one: "${toString (path.meta.priority or 5)} ${one}\n"
          ) ([ package ] ++ wanted)
        ) (builtins.filter (path: path != null) (lib.flatten paths));
        passAsFile = [ "paths" ];
      }
      ''
        . ${./build-env.sh}
        ${lib.optionalString (manifest != "") "ln -s ${manifest} $out/manifest"}
        eval "$postBuild"
      ''
  );
  symlinkJoin =
    {
      paths,
      name ? "${arguments.pname}-${arguments.version}",
      postBuild ? "",
      ...
    }@arguments:
    final.buildEnv {
      inherit name paths postBuild;
      ignoreCollisions = true;
      nativeBuildInputs = arguments.nativeBuildInputs or [ ];
      buildInputs = arguments.buildInputs or [ ];
      meta = arguments.meta or { };
      passthru = arguments.passthru or { };
    };
  linkFarm =
    name: entries:
    let
      pairs = if lib.isAttrs entries then entries else lib.listToAttrs (
        map (entry: lib.nameValuePair entry.name entry.path) entries
      );
    in
    final.runCommandLocal name { passthru.entries = pairs; } ''
      mkdir -p $out
      cd $out
      ${lib.concatStrings (
        lib.mapAttrsToList (path: target: ''
          mkdir -p ${lib.escapeShellArg (dirOf "./${path}")}
          ln -s ${lib.escapeShellArg "${target}"} ${lib.escapeShellArg path}
        '') pairs
      )}
    '';
  linkFarmFromDrvs =
    name: packages:
    final.linkFarm name (
      map (package: {
        inherit (package) name;
        path = package;
      }) packages
    );

  # What `nix-store --load-db` reads, for the closure of the roots; and its paths and size.
  closureInfo =
    { rootPaths }:
    final.runCommandLocal "closure-info"
      {
        __structuredAttrs = true;
        exportReferencesGraph.closure = lib.toList rootPaths;
        nativeBuildInputs = [ final.jq ];
      }
      ''
        mkdir $out
        # Not $NIX_ATTRS_JSON_FILE: in a sandbox, Nix 2.8 lets it point outside.
        jq -r '.closure[]
          | [.path, "sha256:" + (.narHash | ltrimstr("sha256:")), .narSize, "", (.references | length)]
            + .references | .[]' .attrs.json > $out/registration
        jq -r '.closure[].path' .attrs.json > $out/store-paths
        jq '[.closure[].narSize] | add' .attrs.json > $out/total-nar-size
      '';
  writeClosure =
    paths: final.runCommandLocal "runtime-deps" { } "cp ${final.closureInfo { rootPaths = paths; }}/store-paths $out";
  writeReferencesToFile = path: final.writeClosure [ path ];

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

  makeSetupHook =
    {
      name,
      meta ? { },
      passthru ? { },
    }:
    script:
    final.runCommandLocal name { inherit meta passthru; } ''
      mkdir -p $out/nix-support
      cp ${script} $out/nix-support/setup-hook
    '';
  makeWrapper = final.makeSetupHook { name = "make-wrapper"; } ./make-wrapper.sh;

  emptyFile = final.runCommandLocal "empty-file" { } "touch $out";
  emptyDirectory = final.runCommandLocal "empty-directory" { } "mkdir $out";
}
