# Derivations as values.
{ lib }:
{
  # Evaluates the derivation only when one of its outputs is asked for.
  lazyDerivation =
    {
      derivation,
      meta ? null,
      passthru ? { },
      outputs ? [ "out" ],
    }:
    {
      inherit outputs;
      inherit (derivation)
        drvPath
        name
        outPath
        outputName
        system
        ;
      type = "derivation";
    }
    // lib.genAttrs outputs (output: derivation.${output})
    // lib.optionalAttrs (meta != null) { inherit meta; }
    // passthru;

  optionalDrvAttr = condition: value: if condition then value else null;
}
