#!/usr/bin/env bash
# Installs what cannot come from PyPI, and says what each part is for. It asks nothing and skips what is present.
#
#   scripts/system-packages.sh tests    real components that the tests run against
#   scripts/system-packages.sh venv     what `python3 -m venv` needs on Debian
#   scripts/system-packages.sh bench    what makes the load of `make bench-serving`
#
# Root is used through `sudo -n` only when this is not root already. Without either, tests of a missing component are
# skipped; with CI=true that is a failure here.
set -euo pipefail

# package | a program or file that shows it is there | what for
tests() {
  cat <<'LIST'
prometheus|prometheus|scrapes the running product, so that dashboards and rules are checked against real numbers
prometheus-alertmanager|prometheus-alertmanager|receives the alerts that the rules raise
chromium|chromium|opens the console and the reports as a reader would
curl|curl|asks the service as the documents' examples do
fonts-dejavu-core|/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf|letters for chromium
LIST
}
venv() {
  echo "python3-venv|/usr/share/doc/python3-venv|makes virtual environments"
}
bench() {
  echo "wrk|wrk|loads the servers that are measured side by side"
}

present() {
  case "$1" in
    /*) compgen -G "$1" >/dev/null ;;
    *) command -v "$1" >/dev/null ;;
  esac
}

group="${1:-tests}"
case "$group" in
  tests | venv | bench) ;;
  *) echo "system-packages: there is no group '$group'; choose tests, venv or bench" >&2 && exit 2 ;;
esac

missing=()
while IFS='|' read -r package proof purpose; do
  if present "$proof"; then
    printf '  present  %-24s %s\n' "$package" "$purpose"
  else
    printf '  missing  %-24s %s\n' "$package" "$purpose"
    missing+=("$package")
  fi
done < <("$group")
[ "${#missing[@]}" -eq 0 ] && exit 0

cannot() {
  echo "system-packages: ${missing[*]} cannot be installed: $1; as root, run: apt-get install ${missing[*]}" >&2
  if [ "$group" = tests ] && [ "${CI:-}" != true ]; then
    echo "system-packages: going on; tests that need them are skipped" >&2
    exit 0
  fi
  exit 1
}
command -v apt-get >/dev/null || cannot "this machine has no apt"
root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || cannot "this is not root, and there is no sudo"
  sudo -n true 2>/dev/null || cannot "this is not root, and sudo wants a password"
  root=(sudo -n)
fi
quiet_apt() {
  "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=120 "$@"
}
echo "system-packages: installing ${missing[*]} with apt"
quiet_apt update || cannot "apt-get update failed"
quiet_apt install --yes --no-install-recommends "${missing[@]}" >/dev/null || cannot "apt-get install failed"
