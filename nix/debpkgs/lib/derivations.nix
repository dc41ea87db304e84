# Derivations as values.
{ ... }:
{
  # An attribute that, being null, does not reach a derivation.
  optionalDrvAttr = condition: value: if condition then value else null;
}
