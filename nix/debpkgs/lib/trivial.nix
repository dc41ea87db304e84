# Functions of plain values, and messages to whoever evaluates.
{ lib }:
{
  inherit (builtins)
    add
    bitAnd
    bitOr
    bitXor
    deepSeq
    fromJSON
    fromTOML
    genericClosure
    isBool
    isFloat
    isInt
    isPath
    lessThan
    pathExists
    readDir
    readFile
    seq
    sub
    toJSON
    tryEval
    ;

  id = value: value;
  const = value: _: value;
  pipe = builtins.foldl' (value: function: function value);
  flip =
    function: a: b:
    function b a;
  concat = a: b: a ++ b;
  and = a: b: a && b;
  or = a: b: a || b;
  xor = a: b: a != b;
  not = value: !value;
  boolToString = value: if value then "true" else "false";
  boolToYesNo = value: if value then "yes" else "no";
  mergeAttrs = a: b: a // b;
  defaultTo = default: value: if value == null then default else value;
  mapNullable = function: value: if value == null then null else function value;
  min = a: b: if a < b then a else b;
  max = a: b: if a > b then a else b;
  mod = a: b: a - b * (a / b);
  compare =
    a: b:
    if a < b then
      -1
    else if a > b then
      1
    else
      0;

  # A set with __functor can be called like a function.
  isFunction =
    value: builtins.isFunction value || (value ? __functor && lib.isFunction (value.__functor value));
  toFunction = value: if lib.isFunction value then value else _: value;
  functionArgs =
    function:
    if function ? __functor then
      function.__functionArgs or (lib.functionArgs (function.__functor function))
    else
      builtins.functionArgs function;
  setFunctionArgs = function: arguments: {
    __functor = _: function;
    __functionArgs = arguments;
  };
  toHexString =
    number:
    let
      digit = n: builtins.substring n 1 "0123456789ABCDEF";
      go = n: if n < 16 then digit n else go (n / 16) + digit (lib.mod n 16);
    in
    go number;

  # Nix 2.8 gives what is read from a store path all references of that path, and documents may have
  # none: so it is where this set lies in an installed nixbridge.
  importJSON = path: builtins.fromJSON (builtins.unsafeDiscardStringContext (builtins.readFile path));
  importTOML = path: builtins.fromTOML (builtins.unsafeDiscardStringContext (builtins.readFile path));

  warn = message: builtins.trace "evaluation warning: ${message}";
  warnIf = condition: message: if condition then lib.warn message else lib.id;
  warnIfNot = condition: lib.warnIf (!condition);
  throwIf = condition: message: if condition then throw message else lib.id;
  throwIfNot = condition: lib.throwIf (!condition);
  info = message: builtins.trace "INFO: ${message}";

  # The release of nixpkgs whose names and meanings these are.
  version = "25.05-debpkgs";
  release = "25.05";
  trivialRelease = "25.05";
  inNixShell = builtins.getEnv "IN_NIX_SHELL" != "";
  inPureEvalMode = !(builtins ? currentSystem);
}
