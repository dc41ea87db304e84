# From the arguments that `buildLayer` and `buildImage` share to a layer of the description.
let
  storePath = import ./store-path.nix;
  nearMiss = import ./near-miss.nix;

  toList =
    value:
    if value == null then
      [ ]
    else if builtins.isList value then
      value
    else
      [ value ];

  # The value itself, when it has one of these types (in builtins.typeOf's words).
  typed =
    caller: name: types: value:
    if builtins.elem (builtins.typeOf value) types then
      value
    else
      throw "${caller}: `${name}` is ${builtins.typeOf value}, not ${builtins.concatStringsSep " or " types}";

  # The set itself, when all its attributes have a known name.
  onlyKnown =
    caller: name: known: set:
    let
      unknown = builtins.filter (key: !builtins.elem key known) (builtins.attrNames set);
    in
    if unknown == [ ] then
      set
    else
      throw "${caller}: `${name}.${builtins.head unknown}` is not a key${nearMiss known (builtins.head unknown)}";

  describePerm =
    caller: perm:
    let
      check = typed caller;
      known = onlyKnown caller "perms" [
        "path"
        "regex"
        "mode"
        "uid"
        "gid"
        "uname"
        "gname"
      ] (check "perms" [ "set" ] perm);
      mode = check "perms.mode" [ "string" "null" ] (known.mode or null);
    in
    {
      path =
        if known ? path then
          storePath.exactly "${caller}: `perms.path`" known.path
        else
          throw "${caller}: an element of `perms` has no `path`";
      regex = check "perms.regex" [ "string" ] (known.regex or ".*");
      mode =
        if mode == null || builtins.match "[0-7]{1,5}" mode != null then
          mode
        else
          throw "${caller}: `perms.mode` is `${mode}`, not an octal number like `0644`";
      uid = check "perms.uid" [ "int" ] (known.uid or 0);
      gid = check "perms.gid" [ "int" ] (known.gid or 0);
      uname = check "perms.uname" [ "string" ] (known.uname or "");
      gname = check "perms.gname" [ "string" ] (known.gname or "");
    };

  describeMetadata =
    caller: metadata:
    let
      known = onlyKnown caller "metadata" [
        "author"
        "comment"
        "created"
        "created_by"
      ] (typed caller "metadata" [ "set" ] metadata);
    in
    builtins.mapAttrs (key: typed caller "metadata.${key}" [ "string" ]) known;
in
{
  # The name of the function the user called, for messages.
  caller,
  deps,
  copyToRoot,
  contents,
  ignore,
  reproducible,
  perms,
  maxLayers,
  strategy,
  metadata,
}:
let
  root =
    if contents == null then
      copyToRoot
    else if copyToRoot == null then
      builtins.trace "${caller}: `contents` is deprecated, say `copyToRoot`" contents
    else
      throw "${caller}: `contents` is the old name of `copyToRoot`; both are given";
in
{
  roots = map (storePath.around "${caller}: `deps`") (typed caller "deps" [ "list" ] deps);
  copyToRoot = map (storePath.exactly "${caller}: `copyToRoot`") (toList root);
  ignore = map (storePath.exactly "${caller}: `ignore`") (toList ignore);
  perms = map (describePerm caller) (typed caller "perms" [ "list" ] perms);
  maxLayers = typed caller "maxLayers" [ "int" ] maxLayers;
  strategy = typed caller "strategy" [ "string" ] strategy;
  reproducible = typed caller "reproducible" [ "bool" ] reproducible;
  metadata = describeMetadata caller metadata;
}
