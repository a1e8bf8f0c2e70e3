/* Preloaded into octavo by the tests: makes the n-th call of one kind fail, or every read and write short or
 * interrupted. Only regular files count, so that pipes and terminals stay as they are.
 *
 *   FAULT_CALL    pread, pwrite, copy_file_range, fallocate, ftruncate, fsync, rename,
 *                 open (one that creates a file), pthread_create,
 *                 damage (a pwrite that succeeds, of a wrong first byte)
 *   FAULT_NUMBER  which call fails, from 1
 *   FAULT_ERRNO   the number that it fails with
 *   FAULT_LASTING 1: all later calls of the kind fail too, as on a disk that is full
 *   FAULT_SLOW    milliseconds: calls from that number on take so much longer, signals or not, and none fails
 *   FAULT_FLAKY   1: every second read, write, copy, fallocate and ftruncate is interrupted,
 *                 reads, writes and copies are short
 *   FAULT_LOG     a file that is created when the fault has happened */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <sys/stat.h>

static atomic_int calls;
static atomic_uint turns;

static long setting(const char* name) {
  const char* text = getenv(name);
  return text == NULL ? 0 : atol(text);
}

/* Sets `function`, a pointer to a function, to the real one. ISO C has no cast for that. */
#define FIND(function, name)                       \
  do {                                             \
    void* const found = dlsym(RTLD_NEXT, name);    \
    if (found == NULL) abort();                    \
    memcpy(&(function), &found, sizeof(function)); \
  } while (0)

static void note(void) {
  const char* path = getenv("FAULT_LOG");
  if (path == NULL) return;
  int (*real)(const char*, int, ...);
  FIND(real, "open");
  const int file = real(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (file >= 0) close(file);
}

static void wait_for(long milliseconds) {
  struct timespec left = {milliseconds / 1000, milliseconds % 1000 * 1000000};
  while (nanosleep(&left, &left) != 0 && errno == EINTR) {
  }
}

/* 1 if this call is one that fails; errno is set then. */
static int fails(const char* call) {
  const char* wanted = getenv("FAULT_CALL");
  if (wanted == NULL || strcmp(wanted, call) != 0) return 0;
  const int number = atomic_fetch_add(&calls, 1) + 1;
  const long at = setting("FAULT_NUMBER");
  const long slow = setting("FAULT_SLOW");
  if (slow > 0 && number >= at) {
    note();
    wait_for(slow);
  }
  if (slow > 0) return 0;
  if (number != at && !(number > at && setting("FAULT_LASTING"))) return 0;
  note();
  errno = (int)setting("FAULT_ERRNO");
  return 1;
}

static int interrupted(void) {
  if (!setting("FAULT_FLAKY") || atomic_fetch_add(&turns, 1) % 2 != 0) return 0;
  note();
  errno = EINTR;
  return 1;
}

static size_t shortened(size_t size) { return setting("FAULT_FLAKY") && size > 1 ? size / 2 + 1 : size; }

static int is_file(int descriptor) {
  struct stat status;
  return fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode);
}

static ssize_t read_at(const char* symbol, int descriptor, void* bytes, size_t size, off_t at) {
  ssize_t (*real)(int, void*, size_t, off_t);
  FIND(real, symbol);
  if (!is_file(descriptor)) return real(descriptor, bytes, size, at);
  if (interrupted() || fails("pread")) return -1;
  return real(descriptor, bytes, shortened(size), at);
}
ssize_t pread(int descriptor, void* bytes, size_t size, off_t at) {
  return read_at("pread", descriptor, bytes, size, at);
}
ssize_t pread64(int descriptor, void* bytes, size_t size, off_t at) {
  return read_at("pread64", descriptor, bytes, size, at);
}

static ssize_t write_at(const char* symbol, int descriptor, const void* bytes, size_t size, off_t at) {
  ssize_t (*real)(int, const void*, size_t, off_t);
  FIND(real, symbol);
  if (!is_file(descriptor)) return real(descriptor, bytes, size, at);
  if (interrupted() || fails("pwrite")) return -1;
  if (size > 0 && fails("damage")) {
    unsigned char* const copy = malloc(size);
    if (copy == NULL) abort();
    memcpy(copy, bytes, size);
    copy[0] ^= 1;
    const ssize_t written = real(descriptor, copy, size, at);
    free(copy);
    return written;
  }
  return real(descriptor, bytes, shortened(size), at);
}
ssize_t pwrite(int descriptor, const void* bytes, size_t size, off_t at) {
  return write_at("pwrite", descriptor, bytes, size, at);
}
ssize_t pwrite64(int descriptor, const void* bytes, size_t size, off_t at) {
  return write_at("pwrite64", descriptor, bytes, size, at);
}

ssize_t copy_file_range(int from, off64_t* from_at, int to, off64_t* to_at, size_t size, unsigned flags) {
  ssize_t (*real)(int, off64_t*, int, off64_t*, size_t, unsigned);
  FIND(real, "copy_file_range");
  if (interrupted() || fails("copy_file_range")) return -1;
  return real(from, from_at, to, to_at, shortened(size), flags);
}

static int reserve(const char* symbol, int descriptor, int mode, off_t at, off_t size) {
  int (*real)(int, int, off_t, off_t);
  FIND(real, symbol);
  return interrupted() || fails("fallocate") ? -1 : real(descriptor, mode, at, size);
}
int fallocate(int descriptor, int mode, off_t at, off_t size) {
  return reserve("fallocate", descriptor, mode, at, size);
}
int fallocate64(int descriptor, int mode, off_t at, off_t size) {
  return reserve("fallocate64", descriptor, mode, at, size);
}

static int resize(const char* symbol, int descriptor, off_t size) {
  int (*real)(int, off_t);
  FIND(real, symbol);
  return interrupted() || fails("ftruncate") ? -1 : real(descriptor, size);
}
int ftruncate(int descriptor, off_t size) { return resize("ftruncate", descriptor, size); }
int ftruncate64(int descriptor, off_t size) { return resize("ftruncate64", descriptor, size); }

static int flush(const char* symbol, int descriptor) {
  int (*real)(int);
  FIND(real, symbol);
  return fails("fsync") ? -1 : real(descriptor);
}
int fsync(int descriptor) { return flush("fsync", descriptor); }
int fdatasync(int descriptor) { return flush("fdatasync", descriptor); }

int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*main)(void*),
                   void* argument) {
  int (*real)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
  FIND(real, "pthread_create");
  return fails("pthread_create") ? errno : real(thread, attributes, main, argument);
}

int rename(const char* from, const char* to) {
  int (*real)(const char*, const char*);
  FIND(real, "rename");
  return fails("rename") ? -1 : real(from, to);
}
int renameat2(int from_folder, const char* from, int to_folder, const char* to, unsigned flags) {
  int (*real)(int, const char*, int, const char*, unsigned);
  FIND(real, "renameat2");
  return fails("rename") ? -1 : real(from_folder, from, to_folder, to, flags);
}

static int open_file(const char* symbol, const char* path, int flags, va_list arguments) {
  int (*real)(const char*, int, ...);
  FIND(real, symbol);
  if ((flags & O_CREAT) == 0) return real(path, flags);
  const mode_t mode = va_arg(arguments, mode_t);
  return fails("open") ? -1 : real(path, flags, mode);
}
int open(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const int descriptor = open_file("open", path, flags, arguments);
  va_end(arguments);
  return descriptor;
}
int open64(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const int descriptor = open_file("open64", path, flags, arguments);
  va_end(arguments);
  return descriptor;
}
