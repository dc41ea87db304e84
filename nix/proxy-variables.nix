# What a build that downloads takes over from the environment of Nix (or of its daemon).
[
  "http_proxy"
  "https_proxy"
  "ftp_proxy"
  "all_proxy"
  "no_proxy"
  "HTTP_PROXY"
  "HTTPS_PROXY"
  "FTP_PROXY"
  "ALL_PROXY"
  "NO_PROXY"
]
