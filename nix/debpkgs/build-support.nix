# The functions of nixpkgs that make texts, scripts, trees of links and the like.
{ lib }:
final: _:
let
  shell = final.runtimeShell;

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
  inherit runCommandWith;

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
          lib.concatMapStrings (one: "${toString (path.meta.priority or 5)} ${one}\n") ([ package ] ++ wanted)
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
      pairs =
        if lib.isAttrs entries then
          entries
        else
          lib.listToAttrs (map (entry: lib.nameValuePair entry.name entry.path) entries);
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
    rootPaths:
    final.runCommandLocal "runtime-deps" { } ''
      cp ${final.closureInfo { inherit rootPaths; }}/store-paths $out
    '';
  writeReferencesToFile = path: final.writeClosure [ path ];

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
