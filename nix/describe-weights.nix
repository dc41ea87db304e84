# From `volatile` and `weights` of buildImage to the weights of the description: how often store
# paths change by themselves, by patterns of their names, where all others weigh 1.
let
  # "Changes all the time", among others that do now and then.
  volatileWeight = 100;

  typed =
    name: types: value:
    if builtins.elem (builtins.typeOf value) types then
      value
    else
      throw "buildImage: `${name}` is ${builtins.typeOf value}, not ${builtins.concatStringsSep " or " types}";

  inBounds =
    name: weight:
    if weight >= 0.001 && weight <= 1000000 then
      weight
    else
      throw "buildImage: `${name}` is ${toString weight}, not from 0.001 to 1000000";
in
{ volatile, weights }:
builtins.listToAttrs (
  map (pattern: {
    name = typed "volatile" [ "string" ] pattern;
    value = volatileWeight;
  }) (typed "volatile" [ "list" ] volatile)
)
// builtins.mapAttrs (
  pattern: weight: inBounds "weights.${pattern}" (typed "weights.${pattern}" [ "int" "float" ] weight)
) (typed "weights" [ "set" ] weights)
