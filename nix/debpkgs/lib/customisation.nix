# Calling packages with what they ask for, and changing them afterwards.
{ lib }:
let
  # A function (or the file of one), and the arguments that it gets: those it names, from the scope and
  # from the caller.
  matchArguments =
    scope: function: arguments:
    let
      called = if lib.isFunction function then function else import function;
      wanted = lib.functionArgs called;
      known = builtins.intersectAttrs wanted scope // arguments;
      missing = builtins.filter (name: !(wanted.${name} || known ? ${name})) (builtins.attrNames wanted);
      where = lib.optionalString (builtins.isPath function) " at ${toString function}";
    in
    if missing == [ ] then
      {
        function = called;
        arguments = known;
      }
    else
      throw "callPackage: function${where} called without required argument \"${builtins.head missing}\"";
in
rec {
  # A function of an attribute set whose result remembers its arguments: `.override`.
  makeOverridable =
    function:
    lib.setFunctionArgs (
      arguments:
      let
        result = function arguments;
        again = change: makeOverridable function (arguments // lib.toFunction change arguments);
        # Whatever changes the result keeps it overridable.
        through = change: makeOverridable (changed: change (function changed)) arguments;
        added = {
          override = lib.setFunctionArgs again (lib.functionArgs function);
          overrideDerivation = change: through (package: overrideDerivation package change);
        };
      in
      if lib.isAttrs result then
        result
        // added
        // lib.optionalAttrs (result ? overrideAttrs) {
          overrideAttrs = change: through (package: package.overrideAttrs change);
        }
      else if lib.isFunction result then
        lib.setFunctionArgs result (lib.functionArgs result) // { inherit (added) override; }
      else
        result
    ) (lib.functionArgs function);

  overrideDerivation = package: change: package.overrideAttrs change;

  callPackageWith =
    scope: function: arguments:
    let
      call = matchArguments scope function arguments;
    in
    makeOverridable call.function call.arguments;

  # A function that makes several packages: each can be overridden by itself.
  callPackagesWith =
    scope: function: arguments:
    let
      call = matchArguments scope function arguments;
      only =
        name:
        lib.setFunctionArgs (changed: (call.function changed).${name}) (lib.functionArgs call.function);
    in
    lib.mapAttrs (name: _: makeOverridable (only name) call.arguments) (call.function call.arguments);

  extendDerivation =
    condition: passthru: package:
    assert condition;
    package
    // passthru
    // lib.genAttrs (package.outputs or [ ]) (output: package.${output} // passthru);

  hydraJob = package: package;

  # A set of packages that see each other, as `pkgs` itself is one.
  makeScope =
    newScope: function:
    let
      self = function self // {
        newScope = scope: newScope (self // scope);
        callPackage = self.newScope { };
        overrideScope = overlay: makeScope newScope (lib.extends overlay function);
        packages = function;
      };
    in
    self;
}
