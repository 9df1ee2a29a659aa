#!/bin/bash
# Download the Debian packages of the guest; nothing is installed.   packages.sh DIRECTORY
# DIRECTORY gets the .deb files, complete or not at all.
set -eu
. "$(dirname "$0")/contents.sh"
directory=$1

# Packages that the guest's programs name but a guest of busybox and four daemons never runs.
unwanted='.*-perl|perl.*|libperl.*|debconf.*|cdebconf.*|systemd.*|init|sysvinit.*|dpkg|tar|bash|coreutils|adduser|passwd|login|dbus.*'
unwanted="$unwanted|util-linux-.*|mount|logsave|openssl|ucf|sensible-utils|libyaml-dev"

kernel=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends: linux-image/ {print $2; exit}')
if [ -z "$kernel" ]; then
  echo "apt knows no package linux-image-cloud-amd64: run apt-get update on a Debian system with its main archive" >&2
  exit 1
fi
dependencies=$(apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces \
  --no-enhances $packages | grep '^[a-z0-9]' | grep -Evx "$unwanted" | sort -u)
# Not every name is a package: some are virtual and have no file.
wanted=$(apt-cache show --no-all-versions $dependencies 2>/dev/null | awk '$1 == "Package:" {print $2}' | sort -u)

part=$directory.part
rm -rf "$part"
mkdir -p "$part"
cd "$part"
apt-get download -q=2 -o APT::Sandbox::User=root "$kernel" $boot_packages $wanted
mv "$part" "$directory"
