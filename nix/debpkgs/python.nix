# Python with packages, as nixpkgs has it.
{ lib, spec }:
final: prev:
let
  inherit (final) units;

  version = lib.versions.majorMinor units.python3.version;
  sitePackages = "lib/python${version}/site-packages";

  # Each unit of a Python package, by nixpkgs' name.
  packages =
    let
      byDebian = lib.mapAttrs' (name: lib.nameValuePair (lib.removePrefix "python3-" name)) (
        lib.filterAttrs (name: _: lib.hasPrefix "python3-" name) units
      );
    in
    byDebian // lib.mapAttrs (_: name: byDebian.${name}) spec.python.names;

  # The packages, and what they import, and so on.
  closure =
    roots:
    map (node: node.package) (
      builtins.genericClosure {
        startSet = map node (lib.flatten roots);
        operator = { package, ... }: map node (package.requires or [ ]);
      }
    );
  node = package: {
    key = package.outPath;
    inherit package;
  };

  withPackages =
    select:
    let
      chosen = closure (select final.python3Packages);
    in
    final.runCommandLocal "python3-${units.python3.version}-env"
      {
        python = units.python3;
        inherit sitePackages;
        packages = chosen;
        meta.mainProgram = "python3";
        passthru = {
          inherit (final.python3) interpreter pythonVersion sitePackages pkgs;
          packages = chosen;
        };
      }
      (builtins.readFile ./python-env.sh);
in
{
  python3 = prev.python3 // {
    inherit sitePackages withPackages;
    pythonVersion = version;
    interpreter = "${units.python3}/bin/python3";
    executable = "python${version}";
    libPrefix = "python${version}";
    pkgs = final.python3Packages;
    isPy3 = true;
  };
  python3Packages = packages // {
    python = final.python3;
    inherit (final) callPackage;
  };
  mypy = withPackages (python: [ python.mypy ]);
}
