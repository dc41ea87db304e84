# What nixpkgs' lib gives for the functions that ours has: { expr, expected } by name.
{ lib }:
let
  fails = value: !(builtins.tryEval (builtins.deepSeq value value)).success;
  package = {
    type = "derivation";
    name = "tool-1.2";
    outPath = "/out";
    bin = {
      outPath = "/bin-output";
    };
    meta.mainProgram = "tl";
  };
in
builtins.mapAttrs
  (_: pair: {
    expr = builtins.elemAt pair 0;
    expected = builtins.elemAt pair 1;
  })
  {
    # lists
    flatten = [
      (lib.lists.flatten [
        1
        [
          2
          [ 3 ]
        ]
      ])
      [
        1
        2
        3
      ]
    ];
    flattenOfNoList = [
      (lib.flatten 1)
      [ 1 ]
    ];
    range = [
      (lib.lists.range 1 3)
      [
        1
        2
        3
      ]
    ];
    rangeBackwards = [
      (lib.range 3 1)
      [ ]
    ];
    uniqueKeepsTheFirst = [
      (lib.unique [
        3
        2
        3
      ])
      [
        3
        2
      ]
    ];
    foldrIsLazy = [
      (lib.foldr (item: rest: if item == 1 then "found" else rest) "none" [
        0
        1
        (throw "not looked at")
      ])
      "found"
    ];
    lastOfNothing = [
      (fails (lib.last [ ]))
      true
    ];
    initTakeDrop = [
      [
        (lib.init [
          1
          2
        ])
        (lib.take 5 [ 1 ])
        (lib.drop 5 [ 1 ])
        (lib.sublist 1 1 [
          1
          2
          3
        ])
      ]
      [
        [ 1 ]
        [ 1 ]
        [ ]
        [ 2 ]
      ]
    ];
    imap = [
      (lib.imap0 (n: s: "${toString n}${s}") [ "a" ] ++ lib.imap1 (n: s: "${toString n}${s}") [ "a" ])
      [
        "0a"
        "1a"
      ]
    ];
    zipListsStopsAtTheShorter = [
      (lib.zipListsWith (a: b: a + b)
        [
          1
          2
        ]
        [ 10 ]
      )
      [ 11 ]
    ];
    findFirst = [
      [
        (lib.findFirst (n: n > 1) null [
          1
          2
          3
        ])
        (lib.findFirst (n: n > 5) "default" [ 1 ])
      ]
      [
        2
        "default"
      ]
    ];
    naturalSort = [
      (lib.naturalSort [
        "a10"
        "a9"
        "a"
      ])
      [
        "a"
        "a9"
        "a10"
      ]
    ];
    toList = [
      [
        (lib.toList 1)
        (lib.toList [ 1 ])
      ]
      [
        [ 1 ]
        [ 1 ]
      ]
    ];
    remove = [
      (lib.remove 1 [
        1
        2
        1
      ])
      [ 2 ]
    ];

    # strings
    splitString = [
      (lib.splitString "." "a..b.")
      [
        "a"
        ""
        "b"
        ""
      ]
    ];
    splitStringIsNoRegex = [
      (lib.splitString "[.]" "x[.]y")
      [
        "x"
        "y"
      ]
    ];
    fixes = [
      [
        (lib.removePrefix "a" "ab")
        (lib.removePrefix "x" "ab")
        (lib.removeSuffix "b" "ab")
        (lib.hasInfix "b" "abc")
        (lib.hasSuffix "longer than it" "it")
        (lib.hasPrefix "" "x")
      ]
      [
        "b"
        "ab"
        "a"
        true
        false
        true
      ]
    ];
    escapeShellArgs = [
      (lib.escapeShellArgs [
        "plain-1.0"
        "two words"
        "it's"
        ""
        "$HOME"
      ])
      "plain-1.0 'two words' 'it'\\''s' '' '$HOME'"
    ];
    escapeNixString = [
      (lib.strings.escapeNixString "a\${b}\"\n")
      "\"a\\\${b}\\\"\\n\""
    ];
    toShellVars = [
      (lib.toShellVars {
        a = "x y";
        b = [
          "1"
          "2"
        ];
        c.k = "v";
      })
      "a='x y'\ndeclare -a b=(1 2)\ndeclare -A c=([k]=v)"
    ];
    cases = [
      [
        (lib.toUpper "aß1")
        (lib.toLower "ÄBC")
      ]
      [
        "Aß1"
        "Äbc"
      ]
    ];
    toInt = [
      [
        (lib.toInt " -7 ")
        (lib.toIntBase10 "007")
        (fails (lib.toInt "007"))
        (fails (lib.toInt "x"))
      ]
      [
        (-7)
        7
        true
        true
      ]
    ];
    fixedWidth = [
      [
        (lib.fixedWidthString 4 "." "ab")
        (lib.fixedWidthNumber 3 7)
      ]
      [
        "..ab"
        "007"
      ]
    ];
    versions = [
      [
        (lib.versionOlder "1.9" "1.10")
        (lib.versionAtLeast "2.0" "2.0")
        (lib.versions.majorMinor "1.2.3")
        (lib.versions.pad 4 "1.2-rc")
      ]
      [
        true
        true
        "1.2"
        "1.2.0.0-rc"
      ]
    ];
    names = [
      [
        (lib.getName "tool-1.2")
        (lib.getVersion package)
        (lib.getName { pname = "p"; })
      ]
      [
        "tool"
        "1.2"
        "p"
      ]
    ];
    searchPaths = [
      [
        (lib.makeBinPath [ package ])
        (lib.makeSearchPath "lib" [
          "/a"
          "/b"
        ])
      ]
      [
        "/bin-output/bin"
        "/a/lib:/b/lib"
      ]
    ];
    sanitizeDerivationName = [
      (lib.strings.sanitizeDerivationName "..a b/c")
      "a-b-c"
    ];
    fakeHashes = [
      [
        (builtins.stringLength lib.fakeSha256)
        lib.fakeHash
      ]
      [
        64
        "sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
      ]
    ];

    # attrsets
    mapAttrsToList = [
      (lib.mapAttrsToList (n: v: n + v) {
        b = "2";
        a = "1";
      })
      [
        "a1"
        "b2"
      ]
    ];
    listToAttrs = [
      (lib.listToAttrs (map (n: lib.nameValuePair n 1) [ "x" ]) // lib.genAttrs [ "y" ] (n: n))
      {
        x = 1;
        y = "y";
      }
    ];
    filterAttrs = [
      (lib.filterAttrs (n: v: n != "a" && v) {
        a = true;
        b = true;
        c = false;
      })
      { b = true; }
    ];
    recursiveUpdate = [
      (lib.recursiveUpdate
        {
          a.b = 1;
          a.c = 2;
          d = 1;
        }
        {
          a.b = 3;
          d.e = 4;
        }
      )
      {
        a.b = 3;
        a.c = 2;
        d.e = 4;
      }
    ];
    attrPaths = [
      [
        (lib.attrByPath [ "a" "b" ] 0 { a.b = 1; })
        (lib.attrByPath [ "a" "x" ] 0 { a.b = 1; })
        (lib.hasAttrByPath [ "a" "b" ] { a.b = 1; })
        (lib.setAttrByPath [ "a" "b" ] 1)
      ]
      [
        1
        0
        true
        { a.b = 1; }
      ]
    ];
    outputs = [
      [
        (lib.getOutput "bin" package).outPath
        (lib.getOutput "man" package).outPath
        (lib.getBin (package // { outputSpecified = true; })).outPath
      ]
      [
        "/bin-output"
        "/out"
        "/out"
      ]
    ];
    collect = [
      (lib.collect lib.isString {
        a.b = "x";
        c = "y";
        d = 1;
      })
      [
        "x"
        "y"
      ]
    ];
    cartesianProduct = [
      (lib.cartesianProduct {
        a = [
          1
          2
        ];
        b = [ 3 ];
      })
      [
        {
          a = 1;
          b = 3;
        }
        {
          a = 2;
          b = 3;
        }
      ]
    ];

    # fixed points and overlays
    extends = [
      (lib.fix (
        lib.extends (final: prev: { b = prev.b + final.a; }) (_: {
          a = 1;
          b = 10;
        })
      ))
      {
        a = 1;
        b = 11;
      }
    ];
    composeManyExtensionsInOrder = [
      (lib.fix (
        lib.extends
          (lib.composeManyExtensions [
            (_: prev: { list = prev.list ++ [ 1 ]; })
            (_: prev: { list = prev.list ++ [ 2 ]; })
          ])
          (_: {
            list = [ ];
          })
      )).list
      [
        1
        2
      ]
    ];
    makeExtensible = [
      (
        (lib.makeExtensible (self: {
          a = 1;
          b = self.a + 1;
        })).extend
        (_: _: { a = 5; })
      ).b
      6
    ];
    libIsExtensible = [
      (lib.extend (_: _: { more = 1; })).more
      1
    ];

    # customisation
    callPackage = [
      (lib.callPackageWith { a = 1; } (
        {
          a,
          b,
          c ? 3,
        }:
        {
          sum = a + b + c;
        }
      ) { b = 2; }).sum
      6
    ];
    override = [
      (
        (lib.makeOverridable (
          {
            a,
            b ? 1,
          }:
          {
            sum = a + b;
          }
        ) { a = 1; }).override
        (old: {
          b = old.a + 10;
        })
      ).sum
      12
    ];
    overrideTwice = [
      (
        (
          (lib.makeOverridable (
            { a }:
            {
              inherit a;
            }
          ) { a = 1; }).override
          { a = 2; }
        ).override
        (old: {
          a = old.a * 10;
        })
      ).a
      20
    ];

    # meta, systems, generators, sources
    getExe = [
      [
        (lib.getExe package)
        (lib.getExe' package "other")
        (fails (lib.getExe' package "a/b"))
      ]
      [
        "/bin-output/bin/tl"
        "/bin-output/bin/other"
        true
      ]
    ];
    systems = [
      [
        (lib.systems.elaborate "x86_64-linux").go.GOARCH
        (lib.systems.elaborate { system = "aarch64-linux"; }).go.GOARCH
        (lib.systems.elaborate "aarch64-darwin").isDarwin
      ]
      [
        "amd64"
        "arm64"
        true
      ]
    ];
    toKeyValue = [
      (lib.generators.toKeyValue { } {
        a = true;
        b = 1;
        c = "x";
      })
      "a=true\nb=1\nc=x\n"
    ];
    toINI = [
      (lib.generators.toINI { } {
        x.a = 1;
        y.b = "c";
      })
      "[x]\na=1\n\n[y]\nb=c\n"
    ];
    licenses = [
      lib.licenses.asl20.spdxId
      "Apache-2.0"
    ];

    # trivial and asserts
    booleans = [
      [
        (lib.boolToString true)
        (lib.defaultTo 1 null)
        (lib.xor true false)
        (lib.mod 7 3)
      ]
      [
        "true"
        1
        true
        1
      ]
    ];
    throwing = [
      [
        (fails (lib.throwIf true "no" 1))
        (lib.throwIfNot true "no" 1)
        (fails (lib.assertMsg false "no"))
        (lib.assertMsg true "no")
      ]
      [
        true
        1
        true
        true
      ]
    ];
    functionArgsOfFunctors = [
      (lib.functionArgs (lib.setFunctionArgs (x: x) { a = false; }))
      { a = false; }
    ];
    concat = [
      [
        (lib.concatMapStringsSep "," toString [
          1
          2
        ])
        (lib.concatImapStringsSep "," (n: s: s + toString n) [
          "a"
          "b"
        ])
        (lib.optionalString false "x")
        (lib.optionals true [ 1 ])
        (lib.optionalAttrs false { a = 1; })
      ]
      [
        "1,2"
        "a1,b2"
        ""
        [ 1 ]
        { }
      ]
    ];
  }
