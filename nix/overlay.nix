self: super: {
  nixbridge = self.callPackage ./packages/nixbridge { };

}
