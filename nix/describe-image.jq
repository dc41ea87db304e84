# From the attributes of the derivation in build-image.nix to the image description.
#
# Nix adds `.closure` (exportReferencesGraph) to the attributes. `.configFile` is a file that holds
# the image's config: Nix has found the store paths that the config refers to. They are the first
# roots of the image's own layer; the file itself has no place in the image.
.configFile as $configFile
| (.closure | map(select(.path == $configFile)) | first | .references | map(select(. != $configFile)))
    as $configReferences
| (.closure | map(select(.path != $configFile))) as $closure
| ($closure | map({key: .path, value: true}) | from_entries) as $known
| .description
| .layers[-1].roots = ($configReferences + .layers[-1].roots | sort)
# Modes and owners for a path that is not there would silently not be set.
| (first(.layers[].perms[].path | select($known[.] | not)) // null) as $stray
| if $stray then
    "buildImage: `perms` names `\($stray)`, which no layer of the image holds\n" | halt_error(1)
  else . end
| .closure = ($closure
    | map({path, narHash, narSize, references: (.references | sort)})
    | sort_by(.path))
