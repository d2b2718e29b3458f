#!/bin/sh
# Browser tests drive the system's Chromium. Installs it where it can; where it cannot, the suite says what did not run.
command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium fonts-noto-cjk >/dev/null && exit 0
fi
echo "No Chromium on this machine: the browser tests will be skipped. Install chromium to run them." >&2
