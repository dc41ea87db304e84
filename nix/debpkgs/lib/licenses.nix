# The licenses that packages of ours name.
{ lib }:
lib.mapAttrs
  (
    shortName:
    {
      spdxId,
      fullName,
      free ? true,
    }:
    {
      inherit
        shortName
        spdxId
        fullName
        free
        ;
      url = "https://spdx.org/licenses/${spdxId}.html";
      deprecated = false;
      redistributable = free;
    }
  )
  {
    asl20 = {
      spdxId = "Apache-2.0";
      fullName = "Apache License 2.0";
    };
    bsd2 = {
      spdxId = "BSD-2-Clause";
      fullName = "BSD 2-clause \"Simplified\" License";
    };
    bsd3 = {
      spdxId = "BSD-3-Clause";
      fullName = "BSD 3-clause \"New\" or \"Revised\" License";
    };
    cc0 = {
      spdxId = "CC0-1.0";
      fullName = "Creative Commons Zero v1.0 Universal";
    };
    gpl2Plus = {
      spdxId = "GPL-2.0-or-later";
      fullName = "GNU General Public License v2.0 or later";
    };
    gpl3Plus = {
      spdxId = "GPL-3.0-or-later";
      fullName = "GNU General Public License v3.0 or later";
    };
    isc = {
      spdxId = "ISC";
      fullName = "ISC License";
    };
    lgpl21Plus = {
      spdxId = "LGPL-2.1-or-later";
      fullName = "GNU Lesser General Public License v2.1 or later";
    };
    mit = {
      spdxId = "MIT";
      fullName = "MIT License";
    };
    mpl20 = {
      spdxId = "MPL-2.0";
      fullName = "Mozilla Public License 2.0";
    };
    psfl = {
      spdxId = "Python-2.0";
      fullName = "Python Software Foundation License version 2";
    };
  }
