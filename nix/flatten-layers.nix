# From the `layers` argument of `caller` to all layers it stands for, from bottom to top.
#
# The order is nix2container's: what lies below the given layers, then these. Each layer appears
# once, at its first place, so a chain where each layer names all before it stays linear.
caller: layers:
let
  isLayer = value: builtins.isAttrs value && value._type or null == "nixbridge-layer";
  check =
    layer:
    if isLayer layer then
      layer
    else
      throw "${caller}: `layers` holds a ${builtins.typeOf layer} that `buildLayer` did not make";
  given =
    if builtins.isList layers then
      map check layers
    else
      throw "${caller}: `layers` is ${builtins.typeOf layers}, not a list";
in
# A closure over nothing: the one builtin that removes duplicates and keeps the order.
builtins.genericClosure {
  startSet = builtins.concatMap (layer: layer.below) given ++ given;
  operator = _: [ ];
}
