# Attribute sets.
{ lib }:
let
  inherit (builtins)
    attrNames
    attrValues
    concatMap
    foldl'
    hasAttr
    head
    isAttrs
    length
    listToAttrs
    mapAttrs
    tail
    ;
in
rec {
  inherit (builtins)
    attrNames
    attrValues
    catAttrs
    hasAttr
    getAttr
    intersectAttrs
    isAttrs
    listToAttrs
    mapAttrs
    removeAttrs
    zipAttrsWith
    ;

  nameValuePair = name: value: { inherit name value; };
  optionalAttrs = condition: attrs: if condition then attrs else { };
  genAttrs = names: function: genAttrs' names (name: nameValuePair name (function name));
  genAttrs' = names: function: listToAttrs (map function names);
  getAttrs = names: attrs: genAttrs names (name: attrs.${name});
  attrVals = names: attrs: map (name: attrs.${name}) names;

  mapAttrs' =
    function: attrs: listToAttrs (map (name: function name attrs.${name}) (attrNames attrs));
  mapAttrsToList = function: attrs: attrValues (mapAttrs function attrs);
  attrsToList = mapAttrsToList nameValuePair;
  concatMapAttrs = function: attrs: foldl' (a: b: a // b) { } (mapAttrsToList function attrs);
  filterAttrs =
    predicate: attrs:
    removeAttrs attrs (builtins.filter (name: !predicate name attrs.${name}) (attrNames attrs));
  filterAttrsRecursive =
    predicate: attrs:
    mapAttrs (_: value: if isAttrs value then filterAttrsRecursive predicate value else value) (
      filterAttrs predicate attrs
    );
  foldlAttrs =
    step: start: attrs:
    foldl' (acc: name: step acc name attrs.${name}) start (attrNames attrs);
  foldAttrs =
    step: start: sets:
    builtins.zipAttrsWith (_: lib.foldr step start) sets;
  mergeAttrsList = foldl' (a: b: a // b) { };
  zipAttrs = builtins.zipAttrsWith (_: values: values);
  zipAttrsWithNames =
    names: function: sets:
    genAttrs names (name: function name (builtins.catAttrs name sets));
  cartesianProduct =
    attrs:
    foldl' (
      products: name:
      concatMap (product: map (value: product // { ${name} = value; }) attrs.${name}) products
    ) [ { } ] (attrNames attrs);
  mapCartesianProduct = function: attrs: map function (cartesianProduct attrs);

  attrByPath =
    path: default: attrs:
    if path == [ ] then
      attrs
    else if isAttrs attrs && hasAttr (head path) attrs then
      attrByPath (tail path) default attrs.${head path}
    else
      default;
  hasAttrByPath =
    path: attrs:
    path == [ ]
    || (isAttrs attrs && hasAttr (head path) attrs && hasAttrByPath (tail path) attrs.${head path});
  getAttrFromPath =
    path: attrByPath path (throw "getAttrFromPath: there is no `${lib.concatStringsSep "." path}`");
  setAttrByPath =
    path: value: if path == [ ] then value else { ${head path} = setAttrByPath (tail path) value; };
  mapAttrsRecursive = mapAttrsRecursiveCond (_: true);
  mapAttrsRecursiveCond =
    condition: function: attrs:
    let
      recurse =
        path:
        mapAttrs (
          name: value:
          if isAttrs value && condition value then
            recurse (path ++ [ name ]) value
          else
            function (path ++ [ name ]) value
        );
    in
    recurse [ ] attrs;
  collect =
    predicate: value:
    if predicate value then
      [ value ]
    else if isAttrs value then
      concatMap (collect predicate) (attrValues value)
    else
      [ ];

  recursiveUpdateUntil =
    stop: left: right:
    let
      merge =
        path:
        builtins.zipAttrsWith (
          name: values:
          let
            here = path ++ [ name ];
          in
          if length values == 1 || stop here (builtins.elemAt values 1) (head values) then
            head values
          else
            merge here values
        );
    in
    # zipAttrsWith lists the values in the order of the sets: the right one goes first.
    merge
      [ ]
      [
        right
        left
      ];
  recursiveUpdate = recursiveUpdateUntil (
    _: left: right:
    !(isAttrs left && isAttrs right)
  );

  matchAttrs =
    pattern: attrs:
    assert isAttrs pattern;
    lib.all (
      name:
      hasAttr name attrs
      && (
        let
          wanted = pattern.${name};
          value = attrs.${name};
        in
        if isAttrs wanted then isAttrs value && matchAttrs wanted value else wanted == value
      )
    ) (attrNames pattern);
  overrideExisting = old: new: mapAttrs (name: value: new.${name} or value) old;
  unionOfDisjoint =
    a: b:
    let
      both = attrNames (builtins.intersectAttrs a b);
    in
    a // b // genAttrs both (name: throw "unionOfDisjoint: both sets have `${name}`");

  isDerivation = value: value.type or null == "derivation";
  recurseIntoAttrs = attrs: attrs // { recurseForDerivations = true; };
  dontRecurseIntoAttrs = attrs: attrs // { recurseForDerivations = false; };
  toDerivation =
    path:
    let
      plain = builtins.unsafeDiscardStringContext (builtins.storePath path);
    in
    {
      type = "derivation";
      name = lib.sanitizeDerivationName (builtins.substring 33 (-1) (baseNameOf plain));
      outPath = builtins.storePath path;
      outputs = [ "out" ];
      outputName = "out";
    };

  # A package's output, or `out`, or the package itself; a package whose output was named
  # (`cacert.out`) stays as it is.
  getOutput =
    output: package:
    if package.outputSpecified or false then package else package.${output} or package.out or package;
  getFirstOutput =
    candidates: package:
    let
      found = builtins.filter (output: hasAttr output package) candidates;
    in
    if found == [ ] then
      throw "getFirstOutput: ${package.name} has none of ${lib.concatStringsSep ", " candidates}"
    else
      getOutput (head found) package;
  getBin = getOutput "bin";
  getLib = getOutput "lib";
  getDev = getOutput "dev";
  getMan = getOutput "man";
  getInclude = getOutput "dev";
  getStatic = getOutput "static";
  chooseDevOutputs = map getDev;
}
