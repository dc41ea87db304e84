# Looking at values while they are evaluated.
{ lib }:
{
  inherit (builtins) addErrorContext trace unsafeGetAttrPos;

  traceIf =
    condition: message: value:
    if condition then builtins.trace message value else value;
  traceVal = value: builtins.trace value value;
  traceValFn = function: value: builtins.trace (function value) value;
  traceSeq = message: builtins.trace (builtins.deepSeq message message);
  traceValSeq = value: builtins.trace (builtins.deepSeq value value) value;

  # { expr, expected } by name → those that are not as expected.
  runTests =
    tests:
    lib.concatLists (
      lib.mapAttrsToList (
        name:
        { expr, expected }:
        lib.optional (expr != expected) {
          inherit name expected;
          result = expr;
        }
      ) tests
    );
}
