# Parts of a source tree.
{ lib }:
rec {
  cleanSourceFilter =
    path: type:
    let
      name = baseNameOf (toString path);
    in
    !(
      (
        type == "directory"
        && builtins.elem name [
          ".git"
          ".svn"
          ".hg"
          ".jj"
          "CVS"
        ]
      )
      || lib.hasSuffix "~" name
      || builtins.match "\\.sw[a-z]|\\..*\\.sw[a-z]" name != null
      || lib.hasSuffix ".o" name
      || lib.hasSuffix ".so" name
      || (type == "symlink" && lib.hasPrefix "result" name)
      || type == "unknown"
    );

  cleanSource =
    source:
    cleanSourceWith {
      filter = cleanSourceFilter;
      src = source;
    };

  # Filters compose: `src` may itself be what this function returned.
  cleanSourceWith =
    {
      src,
      filter ? _: _: true,
      name ? null,
    }:
    let
      before =
        if src ? _isLibCleanSourceWith then
          src
        else
          {
            origSrc = src;
            filter = _: _: true;
            name = null;
          };
      both = path: type: before.filter path type && filter path type;
      called =
        if name != null then
          name
        else if before.name != null then
          before.name
        else
          "source";
    in
    {
      _isLibCleanSourceWith = true;
      inherit (before) origSrc;
      filter = both;
      name = called;
      outPath = builtins.path {
        filter = both;
        name = called;
        path = before.origSrc;
      };
    };

  sourceByRegex =
    source: patterns:
    let
      root = toString (source.origSrc or source);
    in
    cleanSourceWith {
      src = source;
      filter =
        path: _:
        let
          relative = lib.removePrefix (root + "/") (toString path);
        in
        lib.any (pattern: builtins.match pattern relative != null) patterns;
    };

  sourceFilesBySuffices =
    source: suffixes:
    cleanSourceWith {
      src = source;
      filter =
        name: type:
        type == "directory" || lib.any (suffix: lib.hasSuffix suffix (baseNameOf name)) suffixes;
    };
}
