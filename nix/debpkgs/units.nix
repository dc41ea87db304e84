# One derivation a unit: locked .debs → a store path that runs from where it lies (unit-builder.sh).
#
# `units` has each by the name it has in the lock. Nothing here is built by a compiler, and every input
# is known by its hash: the .debs and the bootstrap are put in the store by debpkgs.py, never by Nix.
{
  lib,
  lock,
  spec,
}:
final: _:
let
  inherit (final) system;

  # A file or directory known by its hash. Its path is valid already, so Nix never builds it. When it is
  # not, Nix says that it cannot execute the builder: whose name is what to do. (A shell that prints the
  # same is not there in every sandbox.)
  locked =
    {
      name,
      sha256,
      mode,
    }:
    derivation {
      inherit name system;
      outputHashAlgo = "sha256";
      outputHash = sha256;
      outputHashMode = mode;
      builder = "/not/in/the/store: run `python3 nix/debpkgs/debpkgs.py fetch ${lock.suite}`";
      preferLocalBuild = true;
      allowSubstitutes = false;
    };

  debs = lib.mapAttrs (
    _: deb:
    locked {
      name = deb.storeName;
      inherit (deb) sha256;
      mode = "flat";
    }
  ) lock.debs;

  bootstrap = locked {
    name = "debpkgs-bootstrap";
    sha256 = lock.bootstrap.narSha256;
    mode = "recursive";
  };

  fixups = import ./fixups.nix {
    inherit lib units;
    pythonVersion = lib.versions.majorMinor lock.units.python3.version;
  };

  makeUnit =
    name: unit:
    let
      rule = spec.units.${name} or { };
    in
    final.makePackage {
      attributes = {
        name = "${name}-${unit.version}";
        inherit bootstrap system;
        builder = "${bootstrap}/busybox";
        args = [
          "ash"
          ./unit-builder.sh
        ];
        debs = map (deb: debs.${deb}) unit.debs;
        needs = map (need: units.${need}) (unit.needs or [ ]);
        remove = spec.defaults.remove ++ (rule.remove or [ ]);
        drop = unit.drop or [ ];
        links = lib.mapAttrsToList (path: target: "${path}=${target}") (rule.links or { });
        patchElf = true;
        fixup = "";
        preferLocalBuild = true;
        allowSubstitutes = false;
      }
      // (fixups.${name} or { });
      common = {
        pname = name;
        inherit (unit) version;
        meta = {
          description = "Debian's ${lib.concatStringsSep ", " unit.debs}";
          platforms = [ system ];
        };
        # The Python packages that it imports.
        requires = map (required: units.${required}) (unit.requires or [ ]);
      };
    };

  units = lib.mapAttrs makeUnit lock.units;
in
{
  inherit units;
  # The inputs of all units, and what they are: for tools that look at the set itself.
  debpkgs = {
    inherit
      bootstrap
      debs
      lock
      spec
      ;
  };
}
