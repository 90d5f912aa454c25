"""The steps of the acceptance program `programs`: shell scripts whose output must be the same on any file system."""

import dataclasses

# The packages of programs that are not called like them.
PACKAGES = {"getfattr": "attr", "setfattr": "attr", "setfacl": "acl", "gcc": "gcc", "ld.gold": "binutils",
            "dpkg-buildpackage": "dpkg-dev", "dh": "debhelper", "python3": "python3-venv"}


@dataclasses.dataclass
class Step:
    """`script` runs in a folder of its own; tree, has_xattr, has_acl and skip are functions of the program's."""

    name: str
    script: str
    programs: tuple = ()
    seconds: int = 120
    in_smoke: bool = True


# Made once, outside of both file systems: what the steps start from.
INPUTS = r"""
mkdir source repo
for i in $(seq 60); do
  mkdir -p source/d$((i % 7))/e$((i % 3))
  seq $i $((i * 40)) > source/d$((i % 7))/e$((i % 3))/f$i
done
ln -s ../d1 source/d2/link
ln source/d1/e1/f1 source/d1/hard
printf '#!/bin/sh\necho run\n' > source/run; chmod 755 source/run
head -c 300000 /dev/urandom > source/noise
export GIT_AUTHOR_DATE='2024-01-01T00:00:00Z' GIT_COMMITTER_DATE='2024-01-01T00:00:00Z'
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
if command -v git > /dev/null; then
  cd repo
  git init -q -b main
  for i in $(seq 12); do
    cp -r ../source/d$((i % 7)) v$i
    git add -A
    git commit -q -m "version $i"
    if [ $i = 6 ]; then git branch old; git rm -q -r v1 v2; fi
  done
  cd ..
fi
mkdir c package
for i in $(seq 8); do
  echo "int f$i(int x) { static int table[1000] = {$i}; return x * $i + table[x % 1000]; }" > c/f$i.c
done
{ for i in $(seq 8); do echo "int f$i(int);"; done; echo '#include <stdio.h>'
  echo 'int main(void) { int s = 0;'; for i in $(seq 8); do echo "s += f$i($i);"; done
  echo 'printf("%d\n", s); return 0; }'; } > c/main.c
if command -v python3 > /dev/null; then
  python3 - << 'END'
import zipfile
with zipfile.ZipFile("example-1.0-py3-none-any.whl", "w") as wheel:
    def add(name, text):
        wheel.writestr(zipfile.ZipInfo(name), text)
    add("example/__init__.py", "def main():\n    print('hello from', __name__)\n")
    add("example-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: example\nVersion: 1.0\n")
    add("example-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    add("example-1.0.dist-info/entry_points.txt", "[console_scripts]\nexample = example:main\n")
    add("example-1.0.dist-info/RECORD", "")
END
fi
mkdir -p npm/lib
echo '{"name": "example", "version": "1.0.0", "main": "lib/index.js", "bin": {"example": "lib/index.js"}}' > npm/package.json
printf '#!/usr/bin/env node\nconsole.log("hello from npm");\n' > npm/lib/index.js
chmod 755 npm/lib/index.js
"""

GIT = r"""
git clone -q "$INPUTS/repo" clone
cd clone
git checkout -q old; tree .
git checkout -q main; tree .
echo change >> v3/e0/f3 2> /dev/null || echo change > v3/new
git add -A; git -c user.name=a -c user.email=a@b commit -q -m change --date 2024-01-01T00:00:00Z
git -c pack.threads=1 gc -q
git fsck --full --strict 2>&1
git stash list; git status --short
git worktree add -q ../other old; tree ../other
git grep -c 100 | sort | head -20
git rev-parse HEAD~1 HEAD~1^{tree}
"""

SQLITE = r"""
for mode in WAL DELETE TRUNCATE; do
  sqlite3 db.$mode "PRAGMA journal_mode=$mode; PRAGMA mmap_size=268435456;
    CREATE TABLE t(writer, number, text); CREATE INDEX i ON t(number);"
  for writer in 1 2 3 4; do
    { echo ".timeout 60000"; echo ".output /dev/null"; echo "PRAGMA mmap_size=268435456;"; echo ".output"
      for number in $(seq 60); do
        echo "BEGIN IMMEDIATE; INSERT INTO t VALUES($writer, $number, printf('%.*c', 500, 'x')); COMMIT;"
      done; } | sqlite3 db.$mode &
  done
  wait
  sqlite3 db.$mode "PRAGMA integrity_check; SELECT writer, count(*), sum(number), sum(length(text)) FROM t GROUP BY 1;
    DELETE FROM t WHERE number % 3 = 0; VACUUM; PRAGMA integrity_check; SELECT count(*) FROM t;"
  sqlite3 db.$mode .dump | sort | sha256sum
done
"""

RSYNC = r"""
flags=-aH; has_acl && flags=${flags}A; has_xattr && flags=${flags}X
rsync -a --numeric-ids "$INPUTS/source/" from/
mkfifo from/fifo; mknod from/null c 1 3; ln from/run from/run2; truncate -s 20M from/sparse; echo end >> from/sparse
case $flags in *X*) setfattr -n user.test -v value from/run;; esac
case $flags in *A*) setfacl -m u:7:rx from/run;; esac
touch -d '2001-02-03 04:05:06.789' from/run
rsync $flags --numeric-ids --sparse from/ to/
tree to
rsync $flags --numeric-ids -nic --delete from/ to/
echo changed >> from/d1/e1/f1; rm from/d2/link
rsync $flags --numeric-ids --delete --inplace -i from/ to/ | sort
rsync $flags --numeric-ids -nic --delete from/ to/
stat -c '%Y %y %s' to/run
"""

TAR = r"""
has_xattr || skip "no extended attributes here"
cp -a "$INPUTS/source" from
setfattr -n user.one -v 1 from/run; setfattr -n user.two -v "$(head -c 3000 /dev/zero | tr '\0' x)" from/d1
setfattr -n trusted.three -v 3 from/run; setfattr -n security.four -v 4 from/run
tar -C from --xattrs --xattrs-include='*' --sparse --sort=name -cf all.tar .
mkdir to; tar -C to --xattrs --xattrs-include='*' -xpf all.tar
tree to
getfattr -R -h -d -m - to | grep -v '^$' | sort
tar -C to --xattrs --compare -f all.tar
if has_acl; then
  setfacl -m u:7:rwx,d:g:8:rx from/d1; tar -C from --acls -cf acls.tar d1
  mkdir acl; tar -C acl --acls -xpf acls.tar; getfacl -R acl | sort
fi
"""

CP = r"""
truncate -s 64M holes; printf data | dd of=holes bs=1 seek=10000000 conv=notrunc status=none
head -c 8000000 /dev/zero > zeros; head -c 3000000 /dev/urandom > noise
for file in holes zeros noise; do
  for when in auto always never; do
    cp --sparse=$when --reflink=auto $file copy.$file.$when
    cmp $file copy.$file.$when && stat -c '%n %s' copy.$file.$when
  done
done
[ $(stat -c %b holes) -lt 20000 ] && [ $(stat -c %b copy.holes.auto) -lt 20000 ] && echo "holes stay holes"
cp -a --attributes-only noise mode; stat -c '%s %a' mode
cp -al "$PWD" ../cp.links && stat -c %h noise && rm -r ../cp.links
mv noise moved; cat moved | cmp - copy.noise.auto && echo same
"""

# On the tmpfs and the mount the paths differ, so nothing that holds a path is compared.
GCC = r"""
cp "$INPUTS"/c/*.c .
for f in f*.c; do gcc -O2 -c $f; done
rm -f lib.a; ar rcsD lib.a f*.o
link() { name=$1; shift; gcc -O2 "$@" -o $name main.c lib.a; ./$name; sha256sum $name; }
link bfd -fuse-ld=bfd
link static -static
if command -v ld.gold > /dev/null; then
  link gold -fuse-ld=gold
  link gold.write -fuse-ld=gold -Wl,--no-mmap-output-file
  link gold.nofallocate -fuse-ld=gold -Wl,--no-posix-fallocate
  link gold.whole -fuse-ld=gold -Wl,--no-map-whole-files
fi
if command -v ld.lld > /dev/null; then link lld -fuse-ld=lld; link lld.write -fuse-ld=lld -Wl,--no-mmap-output-file; fi
gcc -O2 -flto=1 -fPIC -shared -o shared.so f*.c && nm -D shared.so | grep -c ' T f'
strip -o stripped bfd && ./stripped && objcopy --only-keep-debug bfd bfd.debug && sha256sum stripped
"""

VENV = r"""
python3 -m venv env || skip "python3 -m venv does not work here"
env/bin/pip install -q --no-index "$INPUTS/example-1.0-py3-none-any.whl"
env/bin/example
env/bin/python -c 'import example, sqlite3, ssl; print(example.__name__)'
find env -type f | grep -vE '\.pyc$' | LC_ALL=C sort
env/bin/pip check
"""

NPM = r"""
cp -r "$INPUTS/npm" example; (cd example; npm pack --silent)
mkdir app; cd app; npm init -y --silent > /dev/null
npm install --silent --offline --no-audit --no-fund ../example/example-1.0.0.tgz
node_modules/.bin/example
node -e 'require("example")'
find . -printf '%P %y %m %l\n' | LC_ALL=C sort
npm ls --offline | sed 1d
npm install --silent --offline --no-audit --no-fund ../example; readlink node_modules/example
rm -rf node_modules; npm ci --silent --offline --no-audit --no-fund; ls node_modules
"""

DEB = r"""
mkdir -p tiny-1.0/debian/source; cd tiny-1.0
cp "$INPUTS"/c/*.c .
cat > debian/control << 'END'
Source: tiny
Maintainer: A B <a@example.org>
Standards-Version: 4.6.0

Package: tiny
Architecture: any
Description: tiny
 A package to be built.
END
printf 'tiny (1.0) unstable; urgency=low\n\n  * New.\n\n -- A B <a@example.org>  Mon, 01 Jan 2024 00:00:00 +0000\n' > debian/changelog
echo '3.0 (native)' > debian/source/format
cat > debian/rules << 'END'
#!/usr/bin/make -f
clean:
	rm -rf debian/tiny debian/files tiny *.o
build: tiny
tiny: $(wildcard *.c)
	gcc -O2 -o tiny *.c
build-arch: build
build-indep:
binary-indep:
binary: binary-arch
binary-arch: build
	install -D tiny debian/tiny/usr/bin/tiny
	mkdir -p debian/tiny/DEBIAN
	dpkg-gencontrol -Pdebian/tiny
	dpkg-deb --root-owner-group -b debian/tiny ..
.PHONY: clean build build-arch build-indep binary binary-indep binary-arch
END
chmod 755 debian/rules
dpkg-buildpackage -d -uc -us > ../log 2>&1 || { tail -5 ../log >&2; exit 1; }
cd ..
dpkg-deb -c tiny_1.0_*.deb; sha256sum tiny_1.0_*.deb tiny_1.0.tar.*
"""

APT_SOURCE = r"""
mkdir -p apt/lists/partial apt/archives/partial
. /etc/os-release
echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian $VERSION_CODENAME main" > apt/sources.list
options="-o Dir::Etc::SourceList=$PWD/apt/sources.list -o Dir::Etc::SourceParts=/dev/null -o Dir::State::Lists=$PWD/apt/lists
  -o Dir::Cache=$PWD/apt -o APT::Sandbox::User=root -o Acquire::Retries=1 -o Acquire::http::Timeout=20"
apt-get $options -q update > log 2>&1 || skip "the list of sources cannot be fetched: $(tail -1 log)"
apt-get $options -q source hostname > log 2>&1 || skip "the source of hostname cannot be fetched: $(tail -1 log)"
cd hostname-*/
dpkg-buildpackage -b -d -uc -us > ../log 2>&1 || { tail -5 ../log >&2; exit 1; }
cd ..
for deb in hostname_*.deb; do echo $deb; dpkg-deb -c $deb; done; sha256sum hostname_*.deb
"""

OVERLAY = r"""
mkdir lower upper work merged
cp -a "$INPUTS/source/." lower/
trap 'umount merged 2> /dev/null || true' EXIT
mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work,OPTIONS merged 2> error || skip "overlay: $(head -1 error), $(dmesg 2> /dev/null | grep overlayfs | tail -1)"
rm merged/run; rm -r merged/d1; mkdir merged/d1; echo new > merged/d1/new
chmod 600 merged/noise; echo more >> merged/d2/e1/f16; mv merged/d3 merged/moved; ln merged/d4/e1/f4 merged/linked
mv merged/d5/e1/f19 merged/d6/; ln -s x merged/symlink; mkfifo merged/fifo; touch -d 2001-01-01 merged/d2/e2/f2
tree merged
umount merged
find upper -printf '%P %y %m %n %l\n' | LC_ALL=C sort
find upper -type c -exec stat -c '%n %t,%T' {} + | LC_ALL=C sort
getfattr -R -h -d -m trusted.overlay upper 2> /dev/null | grep -vE '^$|origin|uuid|impure|nlink' | LC_ALL=C sort
mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work,OPTIONS merged
tree merged
"""

DIRECT = r"""
head -c 20000000 "$INPUTS/source/noise" > data; head -c 19000000 /dev/urandom >> data; truncate -s 16M data
dd if=data of=copy oflag=direct bs=64K status=none; cmp data copy && echo same
dd if=copy of=read iflag=direct bs=1M status=none; cmp data read && echo same
dd if=copy of=read iflag=direct oflag=direct bs=4K skip=3 count=100 status=none; stat -c %s read
cmp -n 409600 -i 12288:0 data read && echo same
echo tail >> copy; dd if=copy iflag=direct bs=64K status=none | tail -c 5
dd if=data of=copy oflag=direct conv=notrunc bs=512 seek=7 count=9 status=none; cmp -i 3584:0 -n 4608 copy data && echo same
dd if=/dev/zero of=copy oflag=direct,append conv=notrunc bs=4K count=2 status=none; stat -c %s copy
"""

FIO = r"""
for engine in ENGINES; do
  for direct in 0 1; do
    fio --name=x --directory=. --filename=f.$engine --size=SIZE --bsrange=4k-64k --rw=randwrite --iodepth=16 \
        --ioengine=$engine --direct=$direct --verify=crc32c --do_verify=1 --verify_fatal=1 --randseed=7 --numjobs=1 \
        --output=log --output-format=terse || { cat log >&2; exit 1; }
    sha256sum < f.$engine > /dev/null && stat -c '%n %s' f.$engine; rm f.$engine
  done
done
"""

# What gold and databases do: a file is mapped, grown, written through the mapping and read with read(2).
UNLINKED = r"""
cat > open.py << 'END'
import os, sys
count, base = int(sys.argv[1]), int(sys.argv[2])
descriptors = []
for number in range(base, base + count):
    fd = os.open(f"f{number}", os.O_RDWR | os.O_CREAT | os.O_EXCL)
    os.write(fd, b"%d" % number * 50)
    descriptors.append(fd)
    os.unlink(f"f{number}")
print("open", flush=True)
sys.stdin.readline()
for number, fd in enumerate(descriptors, base):
    assert os.pread(fd, 1000, 0) == b"%d" % number * 50, number
    assert os.fstat(fd).st_nlink == 0
    os.ftruncate(fd, 5); os.pwrite(fd, b"end", 5)
    assert os.pread(fd, 1000, 0) == (b"%d" % number * 50)[:5] + b"end"
    os.close(fd)
print("whole", flush=True)
END
cat > run.py << 'END'
import subprocess, sys, os
children = [subprocess.Popen([sys.executable, "open.py", "900", str(base)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            for base in range(0, 10800, 900)]
assert all(child.stdout.readline() == b"open\n" for child in children)
print(sorted(os.listdir(".")))
print(sum(child.communicate(b"\n")[0] == b"whole\n" for child in children))
END
python3 run.py
ls
"""

# Each for a second or two. Left out: those that need a device or leave the directory (binderfs, procfs, bind-mount, ioprio,
# eventfd), and fanotify and dnotify, which do not touch the file system's own code.
STRESSORS = ("access chattr chdir chmod chown copy-file dentry dir dirdeep dirmany dup fallocate fcntl fiemap file-ioctl "
             "filename flock fpunch fsize fstat getdent handle hdd inode-flags inotify io iomix lease link locka lockf "
             "lockofd mknod open rename symlink sync-file touch utime verity xattr mmap msync sendfile splice seek aio aiol "
             "io-uring").split()
SMOKE_STRESSORS = ("copy-file", "rename", "link", "seek")

STRESS = r"""
code=0
timeout -k 2 40 stress-ng --NAME 2 --timeout 1 --verify --temp-path . > log 2>&1 || code=$?
echo "exit status $code"
[ $code = 0 ] || grep -iE 'fail|error|skip' log | sed 's/.*NAME: *//; s/[0-9][0-9]*/N/g' | sort -u | head -5 >&2
"""


def stress_steps():
    for name in STRESSORS:
        yield Step(f"stress-ng {name}", STRESS.replace("NAME", name), ("stress-ng",), 60, name in SMOKE_STRESSORS)


def fio(engines, size):
    return FIO.replace("ENGINES", engines).replace("SIZE", size)


STEPS = [
    Step("git", GIT, ("git",)),
    Step("sqlite", SQLITE, ("sqlite3",)),
    Step("rsync", RSYNC, ("rsync",)),
    Step("tar", TAR, ("tar", "getfattr", "setfattr")),
    Step("cp", CP),
    Step("gcc", GCC, ("gcc", "ld.gold")),
    Step("venv", VENV, ("python3",), 300, in_smoke=False),
    Step("npm", NPM, ("npm", "node"), 300, in_smoke=False),
    Step("dpkg-buildpackage", DEB, ("dpkg-buildpackage", "gcc", "make"), 300, in_smoke=False),
    Step("apt source", APT_SOURCE, ("dpkg-buildpackage", "dh", "gcc", "make"), 600, in_smoke=False),
    Step("overlayfs", OVERLAY.replace("OPTIONS", "redirect_dir=on,index=off"), ("getfattr",)),
    Step("overlayfs with metacopy", OVERLAY.replace("OPTIONS", "redirect_dir=on,metacopy=on,index=off"), ("getfattr",),
         in_smoke=False),
    Step("O_DIRECT", DIRECT),
    Step("fio", fio("psync pvsync2 mmap libaio io_uring", "24M"), ("fio",), 300, in_smoke=False),
    Step("fio, a little", fio("libaio io_uring", "2M"), ("fio",)),
    Step("unlinked files held open", UNLINKED, ("python3",)),
    *stress_steps(),
]
