"""Cases of attributes: chmod, chown, utimensat, access."""

import os

from posix_case import (AT_SYMLINK_NOFOLLOW, NAME_MAX, OWNER, STRANGER, UTIME_NOW, UTIME_OMIT, case, changed, mode_of,
                        owner_of, then, times_of, utimensat, with_fd)

TOO_LONG = "n" * (NAME_MAX + 1)
# What each call that changes attributes has to say of the name.
CHANGERS = {
    "chmod": lambda path: os.chmod(path, 0o600),
    "chown": lambda path: os.chown(path, os.getuid(), os.getgid()),
    "utimensat": os.utime,
}
for group, change in CHANGERS.items():
    case(group, "a missing name is ENOENT", "ENOENT", lambda change=change: change("missing"))
    case(group, "no name is ENOENT", "ENOENT", lambda change=change: change(""))
    case(group, "a dangling link is ENOENT", "ENOENT", lambda change=change: change("dangling"))
    case(group, "an endless link is ELOOP", "ELOOP", lambda change=change: change("loop"))
    case(group, "a file as directory is ENOTDIR", "ENOTDIR", lambda change=change: change("file/new"))
    case(group, "a name of 256 bytes is ENAMETOOLONG", "ENAMETOOLONG", lambda change=change: change(TOO_LONG))
    case(group, "a directory without x is EACCES", "EACCES", lambda change=change: change("full/entry"), uid=OWNER,
         prepare=lambda: os.chmod("full", 0o600))
case("chmod", "ctime changes, and no other time", "c", lambda: changed("file", lambda: os.chmod("file", 0o600)))
case("chmod", "also when the mode stays", "c", lambda: changed("file", lambda: os.chmod("file", 0o644)))
case("chmod", "of a link changes what it names", ("0o600", "0o777"), lambda: then(
    lambda: os.chmod("link", 0o600), lambda: (mode_of("file"), mode_of("link"))))
case("chmod", "a stranger's is EPERM", "EPERM", lambda: os.chmod("file", 0o600), uid=STRANGER)
case("chmod", "all bits, for root", "0o7777", lambda: then(lambda: os.chmod("file", 0o7777), lambda: mode_of("file")),
     needs_root=True)
case("chmod", "the owner's suid and sticky bits stay", "0o5755", lambda: then(
    lambda: os.chmod("file", 0o5755), lambda: mode_of("file")), uid=OWNER)
case("chmod", "sgid is dropped by an owner who is not in the group", "0o755", lambda: then(
    lambda: os.chmod("file", 0o2755), lambda: mode_of("file")), prepare=lambda: os.chown("file", OWNER, 77), uid=OWNER)
case("chmod", "sgid stays for an owner who is in the group by a supplementary group", "0o2755", lambda: then(
    lambda: os.chmod("file", 0o2755), lambda: mode_of("file")), prepare=lambda: os.chown("file", OWNER, 77), uid=OWNER,
     groups=(77,))
case("chmod", "of a directory, by its owner", "0o1700", lambda: then(lambda: os.chmod("dir", 0o1700),
                                                                    lambda: mode_of("dir")))
case("chmod", "through a descriptor open for reading", "0o600", lambda: then(
    lambda: with_fd("file", os.O_RDONLY, lambda fd: os.fchmod(fd, 0o600)), lambda: mode_of("file")))
case("chmod", "an O_PATH descriptor is EBADF", "EBADF",
     lambda: with_fd("file", os.O_PATH, lambda fd: os.fchmod(fd, 0o600)))

case("chown", "root changes both", (7, 8), lambda: then(lambda: os.chown("file", 7, 8), lambda: owner_of("file")),
     needs_root=True)
case("chown", "-1 leaves what was", (OWNER, 8), lambda: then(lambda: os.chown("file", -1, 8), lambda: owner_of("file")),
     needs_root=True)
case("chown", "the largest ids are kept", (4294967294, 4294967294), lambda: then(
    lambda: os.chown("file", 4294967294, 4294967294), lambda: owner_of("file")), needs_root=True)
case("chown", "ctime changes, and no other time", "c", lambda: changed("file", lambda: os.chown("file", 7, 8)),
     needs_root=True)
case("chown", "both -1: ctime changes all the same", "c", lambda: changed("file", lambda: os.chown("file", -1, -1)))
case("chown", "of a link changes what it names", (True, False), lambda: then(
    lambda: os.chown("link", 7, 8), lambda: (owner_of("file") == (7, 8), owner_of("link") == (7, 8))), needs_root=True)
case("chown", "lchown changes the link", (False, True), lambda: then(
    lambda: os.lchown("link", 7, 8), lambda: (owner_of("file") == (7, 8), owner_of("link") == (7, 8))), needs_root=True)
case("chown", "a stranger's is EPERM", "EPERM", lambda: os.chown("file", STRANGER, -1), uid=STRANGER)
case("chown", "an owner gives nothing away: EPERM", "EPERM", lambda: os.chown("file", STRANGER, -1), uid=OWNER)
case("chown", "an owner changes to a group of hers", (OWNER, 77), lambda: then(
    lambda: os.chown("file", -1, 77), lambda: owner_of("file")), uid=OWNER, groups=(77,))
case("chown", "an owner changes to no other group: EPERM", "EPERM", lambda: os.chown("file", -1, 77), uid=OWNER)
case("set_id", "chown by an owner drops suid and sgid", "0o755", lambda: then(
    lambda: os.chown("file", -1, 77), lambda: mode_of("file")), prepare=lambda: os.chmod("file", 0o6755), uid=OWNER,
     groups=(77,))
case("set_id", "chown by root drops them too, the sticky bit stays", "0o1755", lambda: then(
    lambda: os.chown("file", 7, 8), lambda: mode_of("file")), prepare=lambda: os.chmod("file", 0o7755), needs_root=True)
case("set_id", "chown of a directory drops nothing", "0o6755", lambda: then(
    lambda: os.chown("dir", 7, 8), lambda: mode_of("dir")), prepare=lambda: os.chmod("dir", 0o6755), needs_root=True)
case("set_id", "chown keeps sgid without x for the group, for one who is in it", "0o2644", lambda: then(
    lambda: os.chown("file", -1, 77), lambda: mode_of("file")), prepare=lambda: os.chmod("file", 0o2644),
     needs_root=True)


def append(path, size=1):
    with open(path, "ab") as file:
        file.write(b"x" * size)


def modify(how):
    return lambda: then(how, lambda: mode_of("file"))


# Writing by others than root drops suid and sgid.
WRITERS = {
    "write": lambda: append("file"),
    "truncate": lambda: os.truncate("file", 5),
    "ftruncate": lambda: with_fd("file", os.O_WRONLY, lambda fd: os.ftruncate(fd, 5)),
    "open with O_TRUNC": lambda: os.close(os.open("file", os.O_WRONLY | os.O_TRUNC)),
}
for name, how in WRITERS.items():
    case("set_id", f"{name} by another drops suid and sgid", "0o777", modify(how), uid=STRANGER,
         prepare=lambda: os.chmod("file", 0o6777))
    case("set_id", f"{name} by root leaves them", "0o6777", modify(how), prepare=lambda: os.chmod("file", 0o6777),
         needs_root=True)
    case("set_id", f"{name} leaves sgid without x to one in the group", "0o2666", modify(how), uid=STRANGER, gid=OWNER,
         prepare=lambda: os.chmod("file", 0o2666))
    case("set_id", f"{name} drops sgid without x for one outside of the group", "0o666", modify(how), uid=STRANGER,
         prepare=lambda: os.chmod("file", 0o2666))
    case("set_id", f"{name} leaves the sticky bit", "0o1777", modify(how), uid=STRANGER,
         prepare=lambda: os.chmod("file", 0o7777))


def set_times(atime, mtime, path="file", flags=0):
    return lambda: then(lambda: utimensat(path, atime, mtime, flags), lambda: times_of(path))


def nanoseconds(seconds, rest):
    return seconds * 10**9 + rest


for seconds in (0, 1, -1, -10**9, 2**31 - 1, 2**31, 2**32, 16 * 10**9):
    case("utimensat", f"{seconds} seconds and a nanosecond are kept",
         (nanoseconds(seconds, 1), nanoseconds(seconds, 7)),
         set_times((seconds, 1), (seconds, 7)))
case("utimensat", "a file of 1960 and one of 2500 keep their years",
     (nanoseconds(-315619200, 0), nanoseconds(16725225600, 0)),
     set_times((-315619200, 0), (16725225600, 0)))
case("utimensat", "ctime changes too", "amc", lambda: changed("file", lambda: utimensat("file", (5, 0), (6, 0))))
case("utimensat", "UTIME_OMIT leaves a time", "mc",
     lambda: changed("file", lambda: utimensat("file", (0, UTIME_OMIT), (6, 0))))
case("utimensat", "UTIME_OMIT twice changes nothing", "", lambda: changed("file", lambda: utimensat(
    "file", (0, UTIME_OMIT), (0, UTIME_OMIT))))
case("utimensat", "UTIME_NOW for both makes them equal", True, lambda: then(
    lambda: utimensat("file", (0, UTIME_NOW), (0, UTIME_NOW)), lambda: len(set(times_of("file"))) == 1))
case("utimensat", "UTIME_NOW for one leaves the other", "ac", lambda: changed("file", lambda: utimensat(
    "file", (0, UTIME_NOW), (0, UTIME_OMIT))))
case("utimensat", "nanoseconds out of range are EINVAL", "EINVAL", set_times((0, 10**9), (0, 0)))
case("utimensat", "negative nanoseconds are EINVAL", "EINVAL", set_times((0, -1), (0, 0)))
case("utimensat", "unknown flags are EINVAL", "EINVAL", set_times((0, 0), (0, 0), flags=0x8))
case("utimensat", "of a link itself", (nanoseconds(5, 0), nanoseconds(6, 0)),
     set_times((5, 0), (6, 0), "link", AT_SYMLINK_NOFOLLOW))
case("utimensat", "a stranger's is EPERM", "EPERM", set_times((5, 0), (6, 0)), uid=STRANGER)
case("utimensat", "now by a stranger who may not write is EACCES", "EACCES", lambda: os.utime("file"), uid=STRANGER)
case("utimensat", "now by a stranger who may write", None, lambda: os.utime("file"), uid=STRANGER,
     prepare=lambda: os.chmod("file", 0o666))
case("utimensat", "one time now by a stranger who may write is EPERM", "EPERM",
     lambda: utimensat("file", (0, UTIME_NOW), (0, UTIME_OMIT)), uid=STRANGER, prepare=lambda: os.chmod("file", 0o666))
case("utimensat", "writing afterwards sets mtime and leaves atime", True, lambda: then(
    lambda: utimensat("file", (5, 0), (6, 0)), lambda: append("file"),
    lambda: times_of("file")[0] == nanoseconds(5, 0) and times_of("file")[1] != nanoseconds(6, 0)))

for mask, name in ((os.R_OK, "r"), (os.W_OK, "w"), (os.X_OK, "x")):
    for bits, who, uid, gid in ((0o700, "owner", OWNER, 5), (0o070, "group", STRANGER, OWNER), 
                                (0o007, "others", STRANGER, 5)):
        bit = 0o111 * mask & bits
        case("access", f"{name} of the {who}", True, lambda mask=mask: os.access("file", mask), uid=uid, gid=gid,
             prepare=lambda bit=bit: os.chmod("file", bit))
        case("access", f"all but {name} of the {who}", False,
             lambda mask=mask: os.access("file", mask), uid=uid, gid=gid,
             prepare=lambda bit=bit: os.chmod("file", 0o777 & ~bit))
case("access", "root reads and writes what nobody may", True, lambda: os.access("file", os.R_OK | os.W_OK),
     prepare=lambda: os.chmod("file", 0), needs_root=True)
case("access", "root executes only what somebody may", False, lambda: os.access("file", os.X_OK),
     prepare=lambda: os.chmod("file", 0o666), needs_root=True)
case("access", "root enters directories that nobody may", True, lambda: os.access("dir", os.X_OK),
     prepare=lambda: os.chmod("dir", 0), needs_root=True)
case("access", "a supplementary group counts", True, lambda: os.access("file", os.R_OK), uid=STRANGER, groups=(OWNER,),
     prepare=lambda: os.chmod("file", 0o040))
case("access", "chdir needs x", "EACCES", lambda: os.chdir("dir"), uid=STRANGER,
     prepare=lambda: os.chmod("dir", 0o666))
case("access", "chdir of root's into a directory without x", None, lambda: os.chdir("dir"), needs_root=True,
     prepare=lambda: os.chmod("dir", 0))
case("access", "a file without x is not executed: EACCES", "EACCES", lambda: os.execv("file", ["file"]))
