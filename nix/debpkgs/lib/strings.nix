# Strings.
{ lib }:
let
  inherit (builtins)
    concatStringsSep
    filter
    head
    isString
    match
    replaceStrings
    stringLength
    substring
    ;

  lower = lib.stringToCharacters "abcdefghijklmnopqrstuvwxyz";
  upper = lib.stringToCharacters "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
in
rec {
  inherit (builtins)
    compareVersions
    concatStringsSep
    fromJSON
    hashString
    isString
    match
    replaceStrings
    split
    splitVersion
    stringLength
    substring
    toJSON
    unsafeDiscardStringContext
    ;

  optionalString = condition: text: if condition then text else "";
  concatStrings = concatStringsSep "";
  concatMapStrings = function: items: concatStrings (map function items);
  concatMapStringsSep =
    separator: function: items:
    concatStringsSep separator (map function items);
  concatImapStrings = function: items: concatStrings (lib.imap1 function items);
  concatImapStringsSep =
    separator: function: items:
    concatStringsSep separator (lib.imap1 function items);
  concatLines = concatMapStrings (line: line + "\n");
  intersperse =
    separator: items:
    if items == [ ] then
      [ ]
    else
      builtins.tail (
        builtins.concatMap (item: [
          separator
          item
        ]) items
      );
  join = concatStringsSep;
  replicate = count: text: concatStrings (lib.lists.replicate count text);

  hasPrefix = prefix: text: substring 0 (stringLength prefix) text == prefix;
  hasSuffix =
    suffix: text:
    let
      start = stringLength text - stringLength suffix;
    in
    start >= 0 && substring start (-1) text == suffix;
  hasInfix = infix: text: builtins.length (splitString infix "${text}") > 1;
  removePrefix =
    prefix: text: if hasPrefix prefix text then substring (stringLength prefix) (-1) text else text;
  removeSuffix =
    suffix: text:
    if hasSuffix suffix text then substring 0 (stringLength text - stringLength suffix) text else text;

  # A regular expression is matched by builtins.split, so what means something to it is escaped.
  splitString =
    separator: text:
    if separator == "" then
      throw "splitString: the separator is empty"
    else
      map (addContextFrom text) (
        filter isString (builtins.split (escapeRegex (toString separator)) (toString text))
      );
  addContextFrom = source: target: substring 0 0 source + target;
  stringToCharacters = text: builtins.genList (n: substring n 1 text) (stringLength text);
  stringAsChars = function: text: concatMapStrings function (stringToCharacters text);
  lowerChars = lower;
  upperChars = upper;
  toLower = replaceStrings upper lower;
  toUpper = replaceStrings lower upper;
  toSentenceCase =
    text:
    lib.throwIfNot (isString text) "toSentenceCase: not a string but a ${builtins.typeOf text}" (
      toUpper (substring 0 1 text) + toLower (substring 1 (-1) text)
    );

  trim = trimWith {
    start = true;
    end = true;
  };
  trimWith =
    {
      start ? false,
      end ? false,
    }:
    text:
    let
      before = if start then "[ \t\r\n]*" else "";
      after = if end then "(.*[^ \t\r\n])[ \t\r\n]*" else "(.*)";
      found = match "${before}${after}" text;
    in
    if found == null then "" else head found;

  escape = characters: replaceStrings characters (map (c: "\\${c}") characters);
  escapeRegex = escape (stringToCharacters "\\[{()^$?*+|.");
  escapeShellArg =
    argument:
    let
      text = toString argument;
    in
    if match "[[:alnum:],._+:@%/-]+" text != null then
      text
    else
      "'${replaceStrings [ "'" ] [ "'\\''" ] text}'";
  escapeShellArgs = concatMapStringsSep " " escapeShellArg;
  isValidPosixName = name: match "[a-zA-Z_][a-zA-Z0-9_]*" name != null;
  toShellVar =
    name: value:
    lib.throwIfNot (isValidPosixName name) "toShellVar: `${name}` is no name of a shell variable" (
      if lib.isAttrs value && !isStringLike value then
        "declare -A ${name}=(${
          concatStringsSep " " (lib.mapAttrsToList (n: v: "[${escapeShellArg n}]=${escapeShellArg v}") value)
        })"
      else if lib.isList value then
        "declare -a ${name}=(${escapeShellArgs value})"
      else
        "${name}=${escapeShellArg value}"
    );
  toShellVars = variables: concatStringsSep "\n" (lib.mapAttrsToList toShellVar variables);
  escapeNixString = text: escape [ "$" ] (builtins.toJSON text);
  escapeNixIdentifier =
    text: if match "[a-zA-Z_][a-zA-Z0-9_'-]*" text != null then text else escapeNixString text;
  escapeXML =
    replaceStrings
      [
        "\""
        "'"
        "<"
        ">"
        "&"
      ]
      [
        "&quot;"
        "&apos;"
        "&lt;"
        "&gt;"
        "&amp;"
      ];

  fixedWidthString =
    width: filler: text:
    let
      missing = width - stringLength text;
    in
    assert lib.assertMsg (missing >= 0) "fixedWidthString: `${text}` is longer than ${toString width}";
    if missing == 0 then text else filler + fixedWidthString (width - stringLength filler) filler text;
  fixedWidthNumber = width: number: fixedWidthString width "0" (toString number);

  isStringLike =
    value: isString value || builtins.isPath value || value ? outPath || value ? __toString;
  isConvertibleWithToString =
    value:
    isStringLike value
    || value == null
    || lib.isInt value
    || lib.isFloat value
    || lib.isBool value
    || (lib.isList value && lib.all isConvertibleWithToString value);
  isStorePath =
    value:
    isStringLike value
    && (
      let
        text = toString value;
      in
      # Directly in the store; or what stands for a path that only its content will name.
      (substring 0 1 text == "/" && dirOf text == builtins.storeDir)
      || match "/[0-9a-df-np-sv-z]{52}" text != null
    );

  # A decimal number, with space around it allowed, but no zero in front (could be meant as octal).
  toInt =
    text:
    let
      digits = match "[ \t\r\n]*(-?[0-9]+)[ \t\r\n]*" text;
    in
    if digits == null then
      throw "toInt: ${escapeNixString text} is no integer"
    else if match "-?0[0-9]+" (head digits) != null then
      throw "toInt: ${escapeNixString text} could be octal; toIntBase10 takes it as decimal"
    else
      builtins.fromJSON (head digits);
  toIntBase10 =
    text:
    let
      digits = match "[ \t\r\n]*0*(-?[0-9]+)[ \t\r\n]*" text;
      stripped = if digits == null then null else match "(-?)0*([0-9]+)" (head digits);
    in
    if stripped == null then
      throw "toIntBase10: ${escapeNixString text} is no integer"
    else
      builtins.fromJSON (concatStrings stripped);

  versionOlder = a: b: builtins.compareVersions b a == 1;
  versionAtLeast = a: b: !versionOlder a b;
  getName =
    value:
    if isString value then (builtins.parseDrvName value).name else value.pname or (getName value.name);
  getVersion =
    value:
    if isString value then
      (builtins.parseDrvName value).version
    else
      value.version or (getVersion value.name);
  nameFromURL =
    url: separator:
    let
      file = lib.last (splitString "/" url);
    in
    head (splitString separator file);
  sanitizeDerivationName =
    name:
    let
      text = builtins.unsafeDiscardStringContext (toString name);
      clean = concatMapStrings (part: if lib.isList part then "-" else part) (
        builtins.split "[^[:alnum:]+._?=-]+" (head (match "\\.*(.*)" text))
      );
      short = substring (lib.max 0 (stringLength clean - 207)) (-1) clean;
    in
    if short == "" then "unknown" else short;

  makeSearchPath =
    directory: paths:
    concatStringsSep ":" (map (path: path + "/" + directory) (filter (path: path != null) paths));
  makeSearchPathOutput =
    output: directory: packages:
    makeSearchPath directory (map (lib.getOutput output) packages);
  makeBinPath = makeSearchPathOutput "bin" "bin";
  makeLibraryPath = makeSearchPathOutput "lib" "lib";
  makeIncludePath = makeSearchPathOutput "dev" "include";

  fileContents = file: removeSuffix "\n" (builtins.readFile file);
  readPathsFromFile =
    root: file:
    map (line: root + "/${line}") (
      filter (line: line != "" && !hasPrefix "#" line) (splitString "\n" (builtins.readFile file))
    );

  # Hashes that are never right: for a first try of a fixed-output derivation.
  fakeHash = "sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
  fakeSha256 = replicate 64 "0";
  fakeSha512 = replicate 128 "0";
}
