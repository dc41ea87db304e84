"""The lock and fetch tool behind `debpkgs.py`.

One module a task: `spec` reads packages.toml, `apt` asks the archive, `deb` reads packages,
`graph` finds units and their edges, `lock` is the file that is committed, `store` is the Nix
store, `bootstrap` makes the two static programs that build everything else, and `command`
composes them. Nothing outside this folder and Python's standard library is used.
"""
