# Python with packages, as nixpkgs has it: python3.withPackages, python3Packages, buildPythonApplication.
{ lib, spec }:
final: prev:
let
  inherit (final) units;
  python = units.python3;

  pythonVersion = lib.versions.majorMinor python.version;
  sitePackages = "lib/python${pythonVersion}/site-packages";

  # Each unit of a Python package, by nixpkgs' name.
  packages =
    let
      byDebian = lib.mapAttrs' (name: lib.nameValuePair (lib.removePrefix "python3-" name)) (
        lib.filterAttrs (name: _: lib.hasPrefix "python3-" name) units
      );
      renamed = lib.filterAttrs (_: name: byDebian ? ${name}) spec.python.names;
    in
    byDebian // lib.mapAttrs (_: name: byDebian.${name}) renamed;

  # The packages, and what they import (`requires`), and so on.
  withRequired =
    roots:
    let
      node = package: {
        key = package.outPath;
        inherit package;
      };
    in
    map (found: found.package) (
      builtins.genericClosure {
        startSet = map node (lib.flatten roots);
        operator = found: map node (found.package.requires or [ ]);
      }
    );

  environment =
    name: roots:
    let
      chosen = withRequired roots;
    in
    final.runCommandLocal name
      {
        inherit python sitePackages;
        packages = chosen;
        meta.mainProgram = "python3";
        passthru = {
          inherit (final.python3)
            interpreter
            pkgs
            pythonVersion
            sitePackages
            ;
          packages = chosen;
        };
      }
      ''
        . ${./python-env.sh}
      '';

  withPackages = select: environment "python3-${python.version}-env" (select final.python3Packages);

  isPythonPackage = package: package ? requires;

  # Builds a wheel with the build system that pyproject.toml names, and installs it. Its programs run in
  # an environment of the dependencies; the package can be a dependency and go into withPackages itself.
  buildPythonPackage =
    {
      pname,
      version,
      pyproject ? true,
      build-system ? [ ],
      dependencies ? [ ],
      nativeBuildInputs ? [ ],
      nativeCheckInputs ? [ ],
      doCheck ? true,
      pythonImportsCheck ? [ ],
      makeWrapperArgs ? [ ],
      passthru ? { },
      ...
    }@arguments:
    let
      split = builtins.partition isPythonPackage (
        nativeBuildInputs ++ lib.optionals doCheck nativeCheckInputs
      );
      builder = environment "${pname}-build-env" (
        [
          packages.build
          packages.installer
        ]
        ++ build-system
        ++ dependencies
        ++ split.right
      );
      usesPytest = lib.any (input: input.pname or "" == "pytest-check-hook") nativeCheckInputs;
    in
    assert lib.assertMsg pyproject "buildPythonPackage: `${pname}` must have a pyproject.toml";
    final.stdenv.mkDerivation (
      removeAttrs arguments [
        "build-system"
        "checkPhase"
        "dependencies"
        "doCheck"
        "nativeCheckInputs"
        "pyproject"
      ]
      // {
        # As in nixpkgs, what is checked is what was installed: plugins are found by its metadata.
        doInstallCheck = doCheck;
        installCheckPhase =
          arguments.checkPhase or ''
            runHook preCheck
            ${lib.optionalString usesPytest "python3 -m pytest $pytestFlags"}
            runHook postCheck
          '';
        inherit
          makeWrapperArgs
          pythonImportsCheck
          sitePackages
          ;
        nativeBuildInputs = [
          builder
          final.makeWrapper
        ]
        ++ split.wrong;
        runtime = environment "${pname}-env" dependencies;
        postHook = ''
          . ${./build-python.sh}
          ${arguments.postHook or ""}
        '';
        passthru = {
          requires = dependencies;
          pythonModule = final.python3;
        }
        // passthru;
      }
    );
in
{
  python3 = prev.python3 // {
    inherit pythonVersion sitePackages withPackages;
    interpreter = "${python}/bin/python3";
    executable = "python${pythonVersion}";
    libPrefix = "python${pythonVersion}";
    implementation = "cpython";
    isPy3 = true;
    pkgs = final.python3Packages;
  };
  python = final.python3;

  python3Packages = packages // {
    inherit buildPythonPackage;
    inherit (final) lib stdenv;
    buildPythonApplication = buildPythonPackage;
    python = final.python3;
    callPackage = lib.callPackageWith (final // final.python3Packages);
    pytestCheckHook = lib.extendDerivation true {
      pname = "pytest-check-hook";
      requires = [ packages.pytest ];
    } (final.runCommandLocal "pytest-check-hook" { } "mkdir $out");
    toPythonApplication = lib.id;
    # typer without what makes it prettier, which it looks for and can do without.
    typer-slim = packages.typer // {
      requires = builtins.filter (
        package:
        !builtins.elem package.pname [
          "python3-rich"
          "python3-shellingham"
        ]
      ) packages.typer.requires;
    };
    toPythonModule = lib.id;
  };

  # Programs that are Python packages.
  mypy = environment "mypy-${packages.mypy.version}" [ packages.mypy ];
}
