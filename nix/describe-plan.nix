# From `plan` of buildImage to the plan of the description: what the file says, which nixbridge checks.
plan:
if plan == null then
  null
else if builtins.isPath plan || builtins.isString plan then
  builtins.fromJSON (builtins.readFile plan)
else
  throw "buildImage: `plan` is ${builtins.typeOf plan}, not path or string"
