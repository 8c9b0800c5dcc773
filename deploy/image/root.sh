#!/bin/sh
# Unpack the Debian packages of packages.txt into a directory: the root file system of the image.
#
#   deploy/image/root.sh DIRECTORY          # on Debian, with apt's lists up to date
#
# No script of a package runs, so nothing depends on dpkg, perl or a shell. What such scripts would make and Python
# needs is made here. Each package is named in var/lib/dpkg/status.d, where scanners of images look for it.
set -eu
packages="$(cd "$(dirname "$0")" && pwd)/packages.txt"
mkdir -p "$1"
root="$(cd "$1" && pwd)"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cd "$root"
mkdir -p etc usr/bin usr/sbin usr/lib usr/lib64 var/lib/dpkg/status.d dev proc run sys
mkdir -m 1777 tmp
for name in bin sbin lib lib64; do ln -s "usr/$name" "$name"; done

(cd "$work" && grep -v '^#' "$packages" | xargs apt-get -qq -o APT::Sandbox::User=root download)
for archive in "$work"/*.deb; do
    dpkg-deb --fsys-tarfile "$archive" | tar -x --keep-directory-symlink
    dpkg-deb --field "$archive" >"var/lib/dpkg/status.d/$(dpkg-deb --field "$archive" Package)"
done

cat usr/share/ca-certificates/mozilla/*.crt >"$work/certificates"
rm -rf etc/ca-certificates* usr/share/ca-certificates etc/ssl usr/lib/ssl
mkdir -p etc/ssl/certs usr/lib/ssl
mv "$work/certificates" etc/ssl/certs/ca-certificates.crt
chmod 644 etc/ssl/certs/ca-certificates.crt
ln -s /etc/ssl/certs usr/lib/ssl/certs
ln -s /etc/ssl/certs/ca-certificates.crt usr/lib/ssl/cert.pem # what Python's ssl reads
cp -L /etc/os-release etc/os-release
echo 'hosts: files dns' >etc/nsswitch.conf
echo 'root:x:0:0:root:/:/nonexistent' >etc/passwd
echo 'slipway:x:10001:10001:slipway:/:/nonexistent' >>etc/passwd
printf 'root:x:0:\nslipway:x:10001:\n' >etc/group
ln -s python3.11 usr/bin/python3

# Nothing here runs these; the licences (usr/share/doc/*/copyright) stay.
find usr/share -mindepth 1 -maxdepth 1 ! -name doc -exec rm -r {} +
find usr/share/doc ! -name copyright ! -type d -delete
find usr/share/doc -type d -empty -delete
rm -rf usr/lib/*-linux-gnu/gconv usr/sbin/* usr/lib/valgrind
find usr/bin usr/lib/python3.11 -name __pycache__ -prune -exec rm -r {} +
find usr/bin -mindepth 1 ! -name python3 ! -name python3.11 -delete
rm -rf usr/lib/binfmt.d usr/lib/python3.11/test usr/lib/python3.11/pydoc_data usr/lib/python3.11/turtle.py \
    usr/lib/python3.11/lib-dynload/_test* usr/lib/python3.11/lib-dynload/_xx*
# extension modules whose library is not here: databases, terminals, NIS
rm -f usr/lib/python3.11/lib-dynload/_sqlite3.* usr/lib/python3.11/lib-dynload/_curses* \
    usr/lib/python3.11/lib-dynload/readline.* usr/lib/python3.11/lib-dynload/_dbm.* \
    usr/lib/python3.11/lib-dynload/nis.*
