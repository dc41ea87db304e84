# What packages say about themselves.
{ lib }:
rec {
  addMetaAttrs = meta: package: package // { meta = package.meta or { } // meta; };
  setName = name: package: package // { inherit name; };
  setPrio = priority: addMetaAttrs { inherit priority; };
  lowPrio = setPrio 10;
  hiPrio = setPrio (-10);
  availableOn =
    platform: package:
    lib.any (known: known == platform.system) (package.meta.platforms or [ platform.system ]);

  getExe =
    package:
    getExe' package (
      package.meta.mainProgram
        or (lib.warn "getExe: ${package.name} has no meta.mainProgram; taking its name for it" (
          lib.getName package
        ))
    );
  getExe' =
    package: program:
    assert lib.assertMsg (lib.isDerivation package) "getExe': the first argument is no derivation";
    assert lib.assertMsg (
      !lib.hasInfix "/" program
    ) "getExe': `${program}` is not the name of a program";
    "${lib.getBin package}/bin/${program}";
}
