# nixbridge itself as a package: what pynixify wrote (packages/, overlay.nix), and what a build by
# pyproject.toml needs besides.
{
  pkgs,
  # The Python packages to build with and for.
  python ? pkgs.python3Packages,
  # Whether to run the tests that need no Nix.
  doCheck ? true,
}:
let
  # What the build and the tests read, so that a word changed in the documentation or a file that a
  # tool left behind builds nothing anew.
  parts = [
    "ARCHITECTURE.md"
    "LICENSE"
    "README.md"
    "docs"
    "nix"
    "nixbridge"
    "nixbridge.toml"
    "pyproject.toml"
    "scripts"
    "templates"
    "tests"
  ];

  repository = toString ../.;

  source = builtins.path {
    name = "nixbridge-source";
    path = ../.;
    filter =
      path: _:
      let
        name = baseNameOf path;
      in
      if dirOf path == repository then builtins.elem name parts else name != "__pycache__";
  };

  # Our Nix files lie in a store path of their own, which refers to nothing: Nix 2.8 takes whatever
  # is read from the package for something that refers to all that the package does.
  nixFiles = builtins.path {
    name = "nixbridge-nix";
    path = ./.;
    filter = path: _: baseNameOf path != "__pycache__";
  };

  asPyproject =
    arguments:
    removeAttrs arguments [
      "buildInputs"
      "propagatedBuildInputs"
    ]
    // {
      pyproject = true;
      src = source;
      build-system = arguments.buildInputs;
      dependencies = arguments.propagatedBuildInputs;

      # Of the metadata's words that hook knows names alone, and `typer-slim` is another.
      dontCheckRuntimeDeps = true;
      # The Nix files that it carries are to be the same everywhere.
      dontPatchShebangs = true;

      postInstall = ''
        share=$out/${python.python.sitePackages}/nixbridge/share
        rm -r $share/nix
        ln -s ${nixFiles} $share/nix
      '';

      inherit doCheck;
      nativeCheckInputs = [
        python.hypothesis
        python.jsonschema
        python.pytest
        python.pytest-timeout
        # What it writes judges ours, as gzip does, which every build has.
        pkgs.zstd
      ];
      # Of the tests that need no Nix and no other program, left out are those of the embedded package
      # set, which is not built here, test_wheel.py, which makes a wheel of a git checkout by pip:
      # there is neither; and test_documents.py, as not all documents are here. Nix cannot remove the
      # longest path that a test makes; rm can.
      checkPhase = ''
        runHook preCheck
        export HOME=$NIX_BUILD_TOP
        # Without a sandbox root could write byte code beside pytest, in the store.
        export PYTHONDONTWRITEBYTECODE=1
        status=0
        python3 -m pytest -q -p no:cacheprovider --basetemp="$NIX_BUILD_TOP/pytest" \
          -m "not nix and not tools" --ignore=tests/debpkgs --ignore=tests/test_wheel.py \
          --ignore=tests/test_documents.py \
          || status=$?
        # Tests make directories that only root could remove from.
        chmod -R u+w "$NIX_BUILD_TOP/pytest"
        rm -rf "$NIX_BUILD_TOP/pytest"
        test $status = 0
        runHook postCheck
      '';
      pythonImportsCheck = [ "nixbridge" ];

      meta = arguments.meta // {
        mainProgram = "nixbridge";
        license = pkgs.lib.licenses.asl20;
      };
    };

  packages = import ./overlay.nix {
    callPackage =
      path: arguments:
      python.callPackage path (
        {
          buildPythonPackage = arguments: python.buildPythonPackage (asPyproject arguments);
          # typer prints more prettily with rich, which we do not ask it to: 11 MB of 78.
          typer = python.typer-slim or python.typer;
          # Asked for in every file of pynixify's; of use only where the source is PyPI's.
          fetchPypi = null;
        }
        // arguments
      );
  } python;
in
if builtins.pathExists ../pyproject.toml then
  python.toPythonApplication packages.nixbridge
else
  throw ''
    nixbridge: an installation does not hold its own source;
    give the package as the argument `nixbridge`
  ''
