# Refuse what no registry accepts as the name or the tag of an image.
#
# https://github.com/distribution/reference/blob/v0.6.0/reference.go (the grammar in its head)
let
  component = "[a-z0-9]+((\\.|_|__|-+)[a-z0-9]+)*";
  label = "[a-z0-9]([a-z0-9-]*[a-z0-9])?";
  host = "(\\[[0-9a-f:]+]|${label}(\\.${label})*)(:[0-9]+)?";
  isName = text: builtins.match "(${host}/)?${component}(/${component})*" text != null;
  isTag = text: builtins.match "[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127}" text != null;
in
{
  checkName =
    name:
    if builtins.stringLength name <= 255 && isName name then
      name
    else if builtins.match ".*[:@].*" (baseNameOf name) != null then
      throw "buildImage: `name` is `${name}`, which is more than a name; say the tag with `tag`"
    else
      throw "buildImage: `name` is `${name}`, which no registry accepts; a name looks like `app` or `registry.example.org/team/app`";

  checkTag =
    tag:
    if isTag tag then
      tag
    else
      throw "buildImage: `tag` is `${tag}`, which no registry accepts; a tag is up to 128 letters, digits, `_`, `.` and `-`, not `.` or `-` at first";
}
