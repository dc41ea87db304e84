# Attribute sets that refer to their own final form, and layers over them.
{ lib }:
rec {
  fix =
    function:
    let
      self = function self;
    in
    self;

  # Apply an overlay (final: prev: { … }) to a function of the final set.
  extends =
    overlay: function: final:
    let
      prev = function final;
    in
    prev // overlay final prev;

  composeExtensions =
    first: second: final: prev:
    let
      fromFirst = first final prev;
    in
    fromFirst // second final (prev // fromFirst);

  composeManyExtensions = builtins.foldl' composeExtensions (_: _: { });

  makeExtensible = makeExtensibleWithCustomName "extend";

  makeExtensibleWithCustomName =
    name: function:
    fix (
      self:
      function self
      // {
        ${name} = overlay: makeExtensibleWithCustomName name (extends overlay function);
      }
    );

  # Whether written as final: prev: { … }, prev: { … } or { … }: an overlay.
  toExtension =
    value:
    if lib.isFunction value then
      final: prev:
      let
        result = value prev;
      in
      if lib.isFunction result then value final prev else result
    else
      _: _: value;

  converge =
    function: value:
    let
      next = function value;
    in
    if next == value then value else converge function next;
}
