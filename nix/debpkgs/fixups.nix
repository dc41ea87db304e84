# What Debian does in maintainer scripts, and what lets a program find its own files in the store.
#
# By unit; `fixup` runs in $out at the end of unit-builder.sh, where `wrap` and `replace_string` are.
# Three remedies for a path that is compiled in: an environment variable (wrap), a string that is not
# longer (replace_string), or a place below /etc that images fill, as with nixpkgs.
{
  lib,
  units,
  pythonVersion,
}:
let
  sitePackages = "lib/python${pythonVersion}/site-packages";

  # Byte code that never looks at time stamps, which the store sets to 1 for every file. Python must
  # write none by itself on the way: it would look at them.
  compile = python: directory: ''
    PYTHONDONTWRITEBYTECODE=1 PYTHONHASHSEED=0 ${python}/bin/python3 -m compileall -q -f \
      --invalidation-mode unchecked-hash ${directory} ||
      echo "some files in ${directory} are not for this Python"
  '';

  pythonPackage = ''
    mkdir -p ${sitePackages}
    merge lib/python3/dist-packages ${sitePackages}
    rm -rf lib/python3
    ${compile units.python3 sitePackages}
  '';

  bash = "${units.bash}/bin/bash";
  glibc = units.glibc;
  # Where character sets are. The path is compiled into libc, with its length: no longer one fits.
  gconv = "GCONV_PATH=${glibc}/lib/x86_64-linux-gnu/gconv";

  wrap =
    program: variables:
    "wrap ${bash} ${program} ${lib.concatMapStringsSep " " (variable: "\"${variable}\"") variables}\n";

  # Git runs aliases, hooks and transports with the shell that it finds in PATH: the set's, at the latest.
  git = ''
    for program in bin/git lib/git-core/*; do
      if [ -f "$program" ] && [ ! -L "$program" ]; then replace_string "$program" /bin/sh sh; fi
    done
    ${wrap "bin/git" [
      "GIT_EXEC_PATH=$out/lib/git-core"
      "GIT_TEMPLATE_DIR=$out/share/git-core/templates"
      "PATH+=${lib.makeBinPath [ units.bash ]}"
      gconv
    ]}
  '';

  # Where OpenSSL looks: /etc/ssl, which images fill and where Debian's /usr/lib/ssl points.
  openssl = ''
    for library in lib/x86_64-linux-gnu/libcrypto.so.3; do
      for path in "" /certs /cert.pem /private /ct_log_list.cnf; do
        replace_string $library /usr/lib/ssl$path /etc/ssl$path
      done
    done
  '';

  # The terminal descriptions, at a path that is short enough to stand in libtinfo for Debian's.
  terminfo = derivation {
    name = "ti";
    inherit (units.ncurses-base) system;
    inherit (units.ncurses-base.drvAttrs) bootstrap builder;
    source = units.ncurses-base;
    args = [
      "ash"
      "-euc"
      ''
        "$bootstrap/busybox" mkdir "$out"
        for d in lib/terminfo share/terminfo; do
          if [ -d "$source/$d" ]; then "$bootstrap/busybox" cp -RP "$source/$d/." "$out"; fi
        done
      ''
    ];
    preferLocalBuild = true;
    allowSubstitutes = false;
  };
in
# Python finds a package where a virtual environment has it, and not in Debian's dist-packages.
lib.mapAttrs (_: _: { fixup = pythonPackage; }) (
  lib.filterAttrs (name: _: lib.hasPrefix "python3-" name) units
)
// {
  ca-certificates.fixup = ''
    mkdir -p etc/ssl/certs
    cat share/ca-certificates/mozilla/*.crt > etc/ssl/certs/ca-bundle.crt
    ln -s ca-bundle.crt etc/ssl/certs/ca-certificates.crt
  '';

  # stdbuf looks for its library where it lies itself.
  coreutils.fixup = ''
    mv bin/stdbuf libexec/coreutils/
    ln -s ../libexec/coreutils/stdbuf bin/stdbuf
  '';

  file.fixup = wrap "bin/file" [ "MAGIC=${units.libmagic-mgc}/lib/file/magic.mgc" ];

  git.fixup = ''
    ${git}
    sed -i "2i export GITPERLLIB=\''${GITPERLLIB-$out/share/perl5:${units.liberror-perl}/share/perl5}" bin/git
  '';

  gitMinimal.fixup = git;

  # libc opens libgcc_s (pthread_cancel) and libnss_* when it wants them: let it and its siblings look
  # beside themselves. The loader must stay as it is; modules of gconv come when libc is there.
  glibc = {
    patchElf = false;
    fixup = ''
      for library in lib/x86_64-linux-gnu/lib*.so*; do
        [ -L "$library" ] ||
          patchelf --set-rpath "$out/lib/x86_64-linux-gnu" --no-default-lib "$library"
      done
      # Without GCONV_PATH libc would open the host's modules, which belong to another libc.
      replace_string lib/x86_64-linux-gnu/libc.so.6 /usr/lib/x86_64-linux-gnu/gconv /only/by/GCONV_PATH
      replace_string lib/x86_64-linux-gnu/libc.so.6 \
        /usr/lib/x86_64-linux-gnu/gconv/gconv-modules.cache /only/by/GCONV_PATH/cache
    '';
  };

  libc-bin.fixup = ''
    sed -i "s|^RTLDLIST=.*|RTLDLIST=${glibc}/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2|" bin/ldd
    ${wrap "bin/iconv" [ gconv ]}
    ${wrap "bin/locale" [ "LOCPATH=$out/lib/locale" ]}
  '';

  libtinfo6.fixup = ''
    for library in lib/x86_64-linux-gnu/libtinfo.so.6.*; do
      replace_string $library /etc/terminfo:/lib/terminfo:/usr/share/terminfo ${terminfo}
    done
  '';

  libssl3.fixup = openssl;
  libssl3t64.fixup = openssl;

  libxml2-utils.fixup = wrap "bin/xmllint" [ gconv ];

  man-db.fixup = ''
    for helper in zsoelim manconv globbing; do
      for file in bin/man bin/mandb bin/lexgrog lib/man-db/*.so; do
        for directory in libexec lib; do
          replace_string $file /usr/$directory/man-db/$helper $helper
        done
      done
    done
    for program in bin/man bin/mandb; do
      ${wrap "$program" [
        "GROFF_FONT_PATH=${units.groff-base}/share/groff/current/font"
        "GROFF_TMAC_PATH=${units.groff-base}/share/groff/current/tmac"
        "PATH+=${
          lib.makeBinPath [
            units.groff-base
            units.less
            units.bsdextrautils
            units.sed
          ]
        }:$out/libexec/man-db:$out/lib/man-db"
        gconv
      ]}
      sed -i "s|\"\\\$@\"|-C $out/etc/manpath.config \"\\\$@\"|" $program
    done
  '';

  ncurses-base.patchElf = false;

  # nixpkgs' place for mime.types and the like.
  nginx.fixup = "ln -s etc/nginx conf\n";

  nix.fixup = wrap "bin/nix" [
    "NIX_BIN_DIR=$out/bin"
    "NIX_LIBEXEC_DIR=$out/libexec"
    "NIX_DATA_DIR=$out/share"
  ];

  openssh.fixup = ''
    for program in bin/scp bin/sftp; do replace_string $program /usr/bin/ssh ssh; done
  '';

  openssl.fixup = wrap "bin/openssl" [
    "OPENSSL_CONF=$out/etc/ssl/openssl.cnf"
    "OPENSSL_MODULES=${
      units.openssl-provider-legacy or units.libssl3
    }/lib/x86_64-linux-gnu/ossl-modules"
  ];

  perl.fixup = ''
    inc=
    for directory in lib/x86_64-linux-gnu/perl5/5.* share/perl5 lib/x86_64-linux-gnu/perl/5.* \
      share/perl/5.* lib/x86_64-linux-gnu/perl-base; do
      if [ -d "$directory" ] && [ ! -L "$directory" ]; then inc=$inc''${inc:+:}$out/$directory; fi
    done
    # One file under two names: the wrapper takes the place of both.
    for program in bin/perl5.*; do
      case $program in *x86_64*) ;; *) ln -sf perl "$program" ;; esac
    done
    ${wrap "bin/perl" [ "PERL5LIB+=$inc" ]}
  '';

  python3.fixup = ''
    sed -i "s|'/bin/sh'|'${bash}'|" lib/python3.*/subprocess.py
    sed -i "s|'TZPATH': '[^']*'|'TZPATH': '${units.tzdata}/share/zoneinfo'|" lib/python3.*/_sysconfigdata*.py
    # Modules that are scripts too: with this unit's own path in them, the hash in their byte code would
    # be another one in `nix-build --check`, which builds at another path.
    find lib -name '*.py' -perm -0100 \
      -exec sed -i "1s|^#!.*|#!/usr/bin/env python3|" {} + -exec chmod a-x {} +
    ${compile "$out" "lib/python3.*"}
  '';

  python3-certifi.fixup = ''
    sed -i "s|/etc/ssl/certs/ca-certificates.crt|${units.ca-certificates}/etc/ssl/certs/ca-bundle.crt|" \
      lib/python3/dist-packages/certifi/core.py
    ${pythonPackage}
  '';
}
