# From what a user names (a derivation, a path, a string) to the text of its store path.
#
# The text keeps its context, so what it names is built. `place` is where it stood, for messages.
let
  textOf =
    place: value:
    if builtins.isString value || builtins.isPath value || value ? outPath then
      # Not toString: a path is to be copied to the store.
      "${value}"
    else
      throw "${place} holds ${builtins.typeOf value}, not a derivation or a store path";

  # [ top rest ], where top is the store path and rest what stands behind it.
  split =
    place: value:
    let
      text = textOf place value;
      start = builtins.stringLength builtins.storeDir + 1;
      inside = builtins.substring start (-1) text;
      name = builtins.head (builtins.match "([^/]*).*" inside);
      end = start + builtins.stringLength name;
    in
    if builtins.substring 0 start text == "${builtins.storeDir}/" && name != "" then
      {
        top = builtins.substring 0 end text;
        rest = builtins.substring end (-1) text;
      }
    else if builtins.hasContext text then
      # The placeholder of an output whose path is known only when it is built.
      {
        top = text;
        rest = "";
      }
    else
      throw "${place} names `${text}`, which is not in ${builtins.storeDir}";
in
{
  # The store path that `value` is or lies in.
  around = place: value: (split place value).top;

  # The store path that `value` is.
  exactly =
    place: value:
    let
      parts = split place value;
    in
    if parts.rest == "" then
      parts.top
    else
      throw "${place} names `${parts.top}${parts.rest}`, which is below a store path; name a store path itself";
}
