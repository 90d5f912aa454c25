// The tight loops of bench/peers: an interpreter's cost per call would hide the difference between two file systems.
// usage: peers_ops OPERATION PATH COUNT CORPUS
// Prints "OPERATIONS NANOSECONDS". PATH is a directory for the small-file operations, a file for seq_* and random_*;
// COUNT is files, or MiB for seq_*; CORPUS is a file whose bytes are the data written.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { kFileBytes = 4096, kChunkBytes = 1 << 20, kPathBytes = 4096 };

struct run {
  const char* path;
  long count;
  char* corpus;
  size_t corpus_bytes;
  uint64_t random_state;
};

static void fail(const char* what, const char* path) {
  fprintf(stderr, "peers_ops: %s %s: %s\n", what, path, strerror(errno));
  exit(1);
}

static uint64_t now_nanoseconds(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

// splitmix64: every run touches the same offsets in the same order.
static uint64_t next_random(struct run* run) {
  uint64_t z = (run->random_state += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

static const char* corpus_piece(const struct run* run, uint64_t index, size_t bytes) {
  const size_t pieces = run->corpus_bytes / bytes;
  return run->corpus + (index % pieces) * bytes;
}

static void name_of(const struct run* run, const char* prefix, long index, char* out) {
  snprintf(out, kPathBytes, "%s/%s%07ld", run->path, prefix, index);
}

static void write_file(const struct run* run, const char* name, int flags, long index) {
  const int fd = open(name, flags, 0644);
  if (fd < 0) fail("open", name);
  if (write(fd, corpus_piece(run, (uint64_t)index, kFileBytes), kFileBytes) != kFileBytes) fail("write", name);
  if (close(fd) != 0) fail("close", name);
}

static void do_create(struct run* run, long index) {
  char name[kPathBytes];
  name_of(run, "f", index, name);
  write_file(run, name, O_CREAT | O_WRONLY, index);
}

static void do_rewrite(struct run* run, long index) {
  char name[kPathBytes];
  name_of(run, "f", index, name);
  write_file(run, name, O_WRONLY | O_TRUNC, index + 1);
}

static void do_replace(struct run* run, long index) {
  char temporary[kPathBytes];
  char name[kPathBytes];
  name_of(run, "t", index, temporary);
  name_of(run, "f", index, name);
  write_file(run, temporary, O_CREAT | O_WRONLY, index + 2);
  if (rename(temporary, name) != 0) fail("rename", temporary);
}

static void do_stat(struct run* run, long index) {
  char name[kPathBytes];
  struct stat status;
  name_of(run, "f", index, name);
  if (stat(name, &status) != 0) fail("stat", name);
}

static void do_open_read(struct run* run, long index) {
  char name[kPathBytes];
  char bytes[kFileBytes];
  name_of(run, "f", index, name);
  const int fd = open(name, O_RDONLY);
  if (fd < 0) fail("open", name);
  if (read(fd, bytes, sizeof bytes) != kFileBytes) fail("read", name);
  close(fd);
}

static void do_rename(struct run* run, long index) {
  char from[kPathBytes];
  char to[kPathBytes];
  name_of(run, "f", index, from);
  name_of(run, "r", index, to);
  if (rename(from, to) != 0) fail("rename", from);
}

static void do_unlink(struct run* run, long index) {
  char name[kPathBytes];
  name_of(run, "r", index, name);
  if (unlink(name) != 0) fail("unlink", name);
}

static void do_mkdir(struct run* run, long index) {
  char name[kPathBytes];
  name_of(run, "d", index, name);
  if (mkdir(name, 0755) != 0) fail("mkdir", name);
}

static void do_rmdir(struct run* run, long index) {
  char name[kPathBytes];
  name_of(run, "d", index, name);
  if (rmdir(name) != 0) fail("rmdir", name);
}

static long seq_write(struct run* run) {
  const int fd = open(run->path, O_CREAT | O_TRUNC | O_WRONLY, 0644);
  if (fd < 0) fail("open", run->path);
  for (long i = 0; i < run->count; ++i) {
    if (write(fd, corpus_piece(run, (uint64_t)i, kChunkBytes), kChunkBytes) != kChunkBytes) fail("write", run->path);
  }
  if (fsync(fd) != 0) fail("fsync", run->path);
  close(fd);
  return run->count;
}

// Compares what it reads with what seq_write wrote: a benchmark must not be fast because it is wrong.
static long seq_read(struct run* run, int verify) {
  char* buffer = malloc(kChunkBytes);
  const int fd = open(run->path, O_RDONLY);
  if (fd < 0 || buffer == NULL) fail("open", run->path);
  for (long i = 0; i < run->count; ++i) {
    if (read(fd, buffer, kChunkBytes) != kChunkBytes) fail("read", run->path);
    if (verify && memcmp(buffer, corpus_piece(run, (uint64_t)i, kChunkBytes), kChunkBytes) != 0) {
      errno = EIO;
      fail("wrong data in", run->path);
    }
  }
  close(fd);
  free(buffer);
  return run->count;
}

static long random_access(struct run* run, int writing) {
  char bytes[kFileBytes];
  struct stat status;
  const int fd = open(run->path, writing ? O_RDWR : O_RDONLY);
  if (fd < 0 || fstat(fd, &status) != 0) fail("open", run->path);
  const uint64_t blocks = (uint64_t)status.st_size / kFileBytes;
  for (long i = 0; i < run->count; ++i) {
    const off_t offset = (off_t)(next_random(run) % blocks) * kFileBytes;
    const ssize_t done = writing ? pwrite(fd, corpus_piece(run, (uint64_t)i, kFileBytes), kFileBytes, offset)
                                 : pread(fd, bytes, kFileBytes, offset);
    if (done != kFileBytes) fail("random access", run->path);
  }
  if (writing && fsync(fd) != 0) fail("fsync", run->path);
  close(fd);
  return run->count;
}

struct operation {
  const char* name;
  void (*each)(struct run*, long);
};

static const struct operation kOperations[] = {
    {"create", do_create}, {"rewrite", do_rewrite}, {"replace", do_replace}, {"stat", do_stat},
    {"open_read", do_open_read}, {"rename", do_rename}, {"unlink", do_unlink}, {"mkdir", do_mkdir},
    {"rmdir", do_rmdir},
};

static long perform(struct run* run, const char* operation) {
  if (strcmp(operation, "seq_write") == 0) return seq_write(run);
  if (strcmp(operation, "seq_read") == 0) return seq_read(run, 0);
  if (strcmp(operation, "seq_verify") == 0) return seq_read(run, 1);
  if (strcmp(operation, "random_read") == 0) return random_access(run, 0);
  if (strcmp(operation, "random_write") == 0) return random_access(run, 1);
  for (size_t k = 0; k < sizeof kOperations / sizeof kOperations[0]; ++k) {
    if (strcmp(operation, kOperations[k].name) != 0) continue;
    for (long i = 0; i < run->count; ++i) kOperations[k].each(run, i);
    return run->count;
  }
  errno = EINVAL;
  fail("unknown operation", operation);
  return 0;
}

static void load_corpus(struct run* run, const char* path) {
  struct stat status;
  const int fd = open(path, O_RDONLY);
  if (fd < 0 || fstat(fd, &status) != 0) fail("open", path);
  run->corpus_bytes = (size_t)status.st_size;
  run->corpus = malloc(run->corpus_bytes);
  for (size_t done = 0; done < run->corpus_bytes;) {
    const ssize_t got = read(fd, run->corpus + done, run->corpus_bytes - done);
    if (got <= 0) fail("read", path);
    done += (size_t)got;
  }
  close(fd);
}

int main(int argc, char** argv) {
  if (argc != 5) {
    fprintf(stderr, "usage: peers_ops OPERATION PATH COUNT CORPUS\n");
    return 2;
  }
  struct run run = {.path = argv[2], .count = atol(argv[3]), .random_state = 1};
  load_corpus(&run, argv[4]);
  if (run.corpus_bytes < kChunkBytes) {
    fprintf(stderr, "peers_ops: corpus %s is smaller than 1 MiB\n", argv[4]);
    return 2;
  }
  const uint64_t start = now_nanoseconds();
  const long operations = perform(&run, argv[1]);
  printf("%ld %llu\n", operations, (unsigned long long)(now_nanoseconds() - start));
  return 0;
}
