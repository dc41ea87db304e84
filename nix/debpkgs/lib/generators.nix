# Values written in other languages.
{ lib }:
rec {
  mkValueStringDefault =
    _: value:
    if value == null then
      "null"
    else if lib.isBool value then
      lib.boolToString value
    else if lib.isAttrs value && !lib.isStringLike value || lib.isList value || lib.isFunction value then
      abort "generators.mkValueStringDefault: this value is not supported: ${toPretty { } value}"
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
      mkSectionName ? name: lib.escape [
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

  # As Nix would print it, for people to read.
  toPretty =
    {
      multiline ? true,
      indent ? "",
      ...
    }@options:
    value:
    let
      inner = indent + "  ";
      nested = toPretty (options // { indent = inner; });
      open = if multiline then "\n${inner}" else " ";
      close = if multiline then "\n${indent}" else " ";
      items =
        left: right: parts:
        if parts == [ ] then
          "${left} ${right}"
        else
          left + open + lib.concatStringsSep open parts + close + right;
    in
    if lib.isString value then
      lib.escapeNixString value
    else if value == null then
      "null"
    else if lib.isBool value then
      lib.boolToString value
    else if lib.isInt value || lib.isFloat value || lib.isPath value then
      toString value
    else if lib.isList value then
      items "[" "]" (map nested value)
    else if lib.isFunction value then
      "<function>"
    else if lib.isDerivation value then
      "<derivation ${value.name or "???"}>"
    else
      items "{" "}" (
        lib.mapAttrsToList (name: item: "${lib.escapeNixIdentifier name} = ${nested item};") value
      );
}
