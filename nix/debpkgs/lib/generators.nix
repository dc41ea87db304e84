# Values written in other languages.
{ lib }:
rec {
  mkValueStringDefault =
    _: value:
    if value == null then
      "null"
    else if lib.isBool value then
      lib.boolToString value
    else if
      lib.isAttrs value && !lib.isStringLike value || lib.isList value || lib.isFunction value
    then
      abort "generators.mkValueStringDefault: no way to write a ${builtins.typeOf value}"
    else
      toString value;

  mkKeyValueDefault =
    {
      mkValueString ? mkValueStringDefault { },
    }:
    separator: name: value:
    "${lib.escape [ separator ] name}${separator}${mkValueString value}";

  toKeyValue =
    {
      mkKeyValue ? mkKeyValueDefault { } "=",
      listsAsDuplicateKeys ? false,
      indent ? "",
    }:
    attrs:
    let
      line = name: value: indent + mkKeyValue name value + "\n";
      lines =
        name: value:
        if listsAsDuplicateKeys && lib.isList value then
          lib.concatMapStrings (line name) value
        else
          line name value;
    in
    lib.concatStrings (lib.mapAttrsToList lines attrs);

  toINI =
    {
      mkSectionName ?
        name:
        lib.escape [
          "["
          "]"
        ] name,
      mkKeyValue ? mkKeyValueDefault { } "=",
      listsAsDuplicateKeys ? false,
    }:
    attrs:
    lib.concatStringsSep "\n" (
      lib.mapAttrsToList (
        name: values:
        "[${mkSectionName name}]\n" + toKeyValue { inherit mkKeyValue listsAsDuplicateKeys; } values
      ) attrs
    );

  toJSON = _: builtins.toJSON;
  toYAML = toJSON;
}
