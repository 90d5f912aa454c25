"""Many small files that do not compress: a random part of them deleted leaves the pool fragmented."""

import contextlib
import os
import random

PER_FOLDER = 1000
LENGTH_MIN, LENGTH_MAX = 200, 3500
STRIDE = 7919  # no multiple of a page, so that no two files near each other hold the same


@contextlib.contextmanager
def opened(path, flags):
    """A descriptor, closed when the run is ended in between, too: it would keep the mount busy."""
    descriptor = os.open(path, flags)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


class Fragments:
    """The files below `root`, and what they must hold."""

    def __init__(self, root, seed=1):
        self.root = root
        self.random = random.Random(seed)
        self.source = self.random.randbytes(4 << 20)
        self.lengths = {}  # by number
        self.bytes = 0
        self.next = 0
        os.makedirs(root)

    def path(self, number):
        return os.path.join(self.root, f"{number // PER_FOLDER:05d}", f"{number:08d}")

    def contents(self, number, length):
        at = number * STRIDE % (len(self.source) - LENGTH_MAX)
        return number.to_bytes(8, "little") + self.source[at:at + length - 8]

    def fill(self, total):
        """New files until all of them hold `total` bytes."""
        while self.bytes < total:
            number, length = self.next, self.random.randint(LENGTH_MIN, LENGTH_MAX)
            if number % PER_FOLDER == 0:
                os.mkdir(os.path.dirname(self.path(number)))
            with opened(self.path(number), os.O_CREAT | os.O_EXCL | os.O_WRONLY) as descriptor:
                os.write(descriptor, self.contents(number, length))
            self.lengths[number] = length
            self.bytes += length
            self.next += 1

    def thin_out(self, share):
        """Deletes a random share."""
        for number in self.random.sample(sorted(self.lengths), int(share * len(self.lengths))):
            os.unlink(self.path(number))
            self.bytes -= self.lengths.pop(number)

    def damaged(self):
        """How many files are missing, too many or not what was written, past the page cache."""
        count = 0
        found = sum(len(files) for _, _, files in os.walk(self.root))
        for number, length in self.lengths.items():
            with opened(self.path(number), os.O_RDONLY) as descriptor:
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
                count += os.read(descriptor, 2 * LENGTH_MAX) != self.contents(number, length)
        return count + abs(found - len(self.lengths))
