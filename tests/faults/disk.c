/* A disk that can be full or fail to flush, for the process it is preloaded into. It stands between
 * the process and the C library for the ledger's files alone, whose names hold "tollgate.db", and is
 * told what to do through a small file, named by TOLLGATE_DISK, that both sides map. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct control {
  _Atomic int64_t limited;     /* 1: files grow only while `room` lasts */
  _Atomic int64_t room;        /* bytes */
  _Atomic int64_t fail_sync;   /* 1: flushes fail */
  _Atomic int64_t no_room;     /* writes refused so far */
  _Atomic int64_t sync_failed; /* flushes refused so far */
};
static struct control *control;

__attribute__((constructor)) static void begin(void) {
  const char *path = getenv("TOLLGATE_DISK");
  int fd = path ? open(path, O_RDWR) : -1;
  if (fd < 0) return;
  void *at = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (at != MAP_FAILED) control = at;
}

static int ours(int fd) {
  char link[64], name[4096];
  if (!control) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, name, sizeof name - 1);
  if (length < 0) return 0;
  name[length] = 0;
  return strstr(name, "tollgate.db") != NULL;
}

/* Takes the bytes by which a file grows; gives them back where it shrinks. */
static int grow(int fd, int64_t to, int may_shrink) {
  struct stat now;
  if (!ours(fd) || !control->limited || fstat(fd, &now)) return 0;
  int64_t by = to - now.st_size;
  if (by <= 0) {
    if (may_shrink) control->room -= by;
    return 0;
  }
  if (atomic_fetch_sub(&control->room, by) >= by) return 0;
  control->room += by;
  control->no_room++;
  errno = ENOSPC;
  return -1;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t pwrite(int fd, const void *from, size_t n, off_t at) {
  return grow(fd, at + (int64_t)n, 0) ? -1 : REAL(pwrite)(fd, from, n, at);
}
ssize_t pwrite64(int fd, const void *from, size_t n, off64_t at) {
  return grow(fd, at + (int64_t)n, 0) ? -1 : REAL(pwrite64)(fd, from, n, at);
}
ssize_t write(int fd, const void *from, size_t n) {
  off_t at = control && ours(fd) ? lseek(fd, 0, SEEK_CUR) : -1;
  return at >= 0 && grow(fd, at + (int64_t)n, 0) ? -1 : REAL(write)(fd, from, n);
}
int ftruncate(int fd, off_t to) { return grow(fd, to, 1) ? -1 : REAL(ftruncate)(fd, to); }
int ftruncate64(int fd, off64_t to) { return grow(fd, to, 1) ? -1 : REAL(ftruncate64)(fd, to); }

static int no_flush(int fd) {
  if (!ours(fd) || !control->fail_sync) return 0;
  control->sync_failed++;
  errno = EIO;
  return -1;
}
int fsync(int fd) { return no_flush(fd) ? -1 : REAL(fsync)(fd); }
int fdatasync(int fd) { return no_flush(fd) ? -1 : REAL(fdatasync)(fd); }
