// A disk that fails: preloaded into a process (LD_PRELOAD), it counts the writes, syncs and renames below one folder and lets one of them go wrong.
//
//   FAULTY_DISK_FOLDER  absolute path; files elsewhere are untouched
//   FAULTY_DISK_FAULT   <kind>@<n>, n from 1:
//     full@n     from the n-th write on there is no space: it takes half of its bytes, later ones fail with ENOSPC
//     write@n    the n-th write fails with EIO
//     sync@n     the n-th fsync fails with EIO
//     short@n    from the n-th write on, each takes a third of its bytes
//     kill@n     SIGKILL at the n-th operation of any kind: after half the bytes of a write, before a sync, right after a rename
//     power@n    the same, and what was not synced is lost: bytes since the last fsync of a file, renames since that of their folder
//   FAULTY_DISK_COUNTS  file into which the numbers of operations and of writes and syncs among them go when the process ends
//
// cc -shared -fPIC -O1 -o faulty_disk.so faulty_disk.c -ldl
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { FILES = 512, RENAMES = 512 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static long operations, writes, syncs;

// A file with bytes that no fsync has seen: a descriptor of our own outlives the process's.
static struct { int fd; dev_t device; ino_t inode; off_t synced; } files[FILES];
static int file_count;
// A rename that no fsync of the folder has seen; `old` keeps what it replaced.
static struct { char from[PATH_MAX], to[PATH_MAX], old[PATH_MAX]; } renames[RENAMES];
static int rename_count;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int is_below(const char* path) {
  const char* folder = getenv("FAULTY_DISK_FOLDER");
  return folder && strncmp(path, folder, strlen(folder)) == 0;
}

// The path of a descriptor, or an empty string where it is not below the folder.
static void path_of(int fd, char path[PATH_MAX]) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, PATH_MAX - 1);
  path[length < 0 ? 0 : length] = 0;
  if (!is_below(path)) path[0] = 0;
}

static int is_fault(const char* kind, long count, int or_later) {
  const char* fault = getenv("FAULTY_DISK_FAULT");
  size_t length = strlen(kind);
  if (!fault || strncmp(fault, kind, length) != 0 || fault[length] != '@') return 0;
  long at = atol(fault + length + 1);
  return or_later ? count >= at : count == at;
}

static void lose_unsynced(void) {
  while (rename_count > 0) {
    rename_count--;
    if (REAL(rename)(renames[rename_count].to, renames[rename_count].from) == 0 && renames[rename_count].old[0])
      REAL(rename)(renames[rename_count].old, renames[rename_count].to);
  }
  for (int i = 0; i < file_count; i++) {
    if (ftruncate(files[i].fd, files[i].synced) != 0) perror("faulty_disk");
  }
}

static void end_here(int lose) {
  if (lose) lose_unsynced();
  kill(getpid(), SIGKILL);
  for (;;) pause();
}

// Counts an operation: 1 where the process is to die in it, 2 where power is to fail.
static int counted(void) {
  operations++;
  return is_fault("kill", operations, 0) ? 1 : is_fault("power", operations, 0) ? 2 : 0;
}

static int file_of(int fd) {
  struct stat found;
  if (fstat(fd, &found) != 0) return -1;
  for (int i = 0; i < file_count; i++) {
    if (files[i].inode == found.st_ino && files[i].device == found.st_dev) return i;
  }
  return -1;
}

static void remember_unsynced(int fd) {
  struct stat found;
  if (file_of(fd) >= 0 || file_count == FILES || fstat(fd, &found) != 0) return;
  files[file_count].fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
  files[file_count].device = found.st_dev;
  files[file_count].inode = found.st_ino;
  files[file_count++].synced = found.st_size;
}

static void forget_synced(int fd, const char* path) {
  int i = file_of(fd);
  if (i >= 0) {
    close(files[i].fd);
    files[i] = files[--file_count];
  }
  int kept = 0;
  for (int r = 0; r < rename_count; r++) {
    char folder[PATH_MAX];
    strcpy(folder, renames[r].to);
    if (strcmp(dirname(folder), path) != 0) {
      renames[kept++] = renames[r];
    } else if (renames[r].old[0]) {
      unlink(renames[r].old);
    }
  }
  rename_count = kept;
}

// How many of `length` bytes a write takes; -1 with errno where it fails.
static ssize_t allowance(int fd, size_t length, int* dies) {
  char path[PATH_MAX];
  path_of(fd, path);
  if (path[0] == 0) return (ssize_t)length;
  pthread_mutex_lock(&mutex);
  writes++;
  *dies = counted();
  remember_unsynced(fd);
  ssize_t allowed = (ssize_t)length;
  if (*dies || is_fault("full", writes, 0)) {
    allowed = (ssize_t)(length / 2);
  } else if (is_fault("full", writes, 1)) {
    errno = ENOSPC;
    allowed = -1;
  } else if (is_fault("write", writes, 0)) {
    errno = EIO;
    allowed = -1;
  } else if (is_fault("short", writes, 1) && length > 1) {
    allowed = (ssize_t)((length + 2) / 3);
  }
  if (allowed == 0 && !*dies && length > 0) {
    errno = ENOSPC;
    allowed = -1;
  }
  // Nobody else may write in a process that dies.
  if (!*dies) pthread_mutex_unlock(&mutex);
  return allowed;
}

ssize_t write(int fd, const void* bytes, size_t length) {
  int dies = 0;
  ssize_t allowed = allowance(fd, length, &dies);
  ssize_t written = allowed < 0 ? -1 : REAL(write)(fd, bytes, (size_t)allowed);
  if (dies) end_here(dies == 2);
  return written;
}

ssize_t pwrite64(int fd, const void* bytes, size_t length, off64_t at) {
  int dies = 0;
  ssize_t allowed = allowance(fd, length, &dies);
  ssize_t written = allowed < 0 ? -1 : REAL(pwrite64)(fd, bytes, (size_t)allowed, at);
  if (dies) end_here(dies == 2);
  return written;
}

ssize_t pwrite(int fd, const void* bytes, size_t length, off_t at) { return pwrite64(fd, bytes, length, at); }

// The first of the pieces alone: a short write.
ssize_t writev(int fd, const struct iovec* pieces, int count) {
  char path[PATH_MAX];
  path_of(fd, path);
  return path[0] && count > 0 ? write(fd, pieces[0].iov_base, pieces[0].iov_len) : REAL(writev)(fd, pieces, count);
}

ssize_t pwritev64(int fd, const struct iovec* pieces, int count, off64_t at) {
  char path[PATH_MAX];
  path_of(fd, path);
  return path[0] && count > 0 ? pwrite64(fd, pieces[0].iov_base, pieces[0].iov_len, at) : REAL(pwritev64)(fd, pieces, count, at);
}

ssize_t pwritev(int fd, const struct iovec* pieces, int count, off_t at) { return pwritev64(fd, pieces, count, at); }

static int synced(int fd, int (*real)(int)) {
  char path[PATH_MAX];
  path_of(fd, path);
  if (path[0] == 0) return real(fd);
  pthread_mutex_lock(&mutex);
  syncs++;
  int dies = counted();
  if (dies) end_here(dies == 2);
  int result = -1;
  if (is_fault("sync", syncs, 0)) {
    errno = EIO;
  } else {
    // A test's folder need not survive the machine: what a sync would keep is only noted.
    result = 0;
    forget_synced(fd, path);
  }
  pthread_mutex_unlock(&mutex);
  return result;
}

int fsync(int fd) { return synced(fd, REAL(fsync)); }
int fdatasync(int fd) { return synced(fd, REAL(fdatasync)); }

int rename(const char* from, const char* to) {
  char absolute[PATH_MAX];
  if (!is_below(to) || !realpath(from, absolute)) return REAL(rename)(from, to);
  pthread_mutex_lock(&mutex);
  int dies = counted();
  if (rename_count < RENAMES) {
    strcpy(renames[rename_count].from, from);
    strcpy(renames[rename_count].to, to);
    snprintf(renames[rename_count].old, PATH_MAX, "%s.faulty_disk-%d-%ld", getenv("FAULTY_DISK_FOLDER"), getpid(), operations);
    if (link(to, renames[rename_count].old) != 0) renames[rename_count].old[0] = 0;
    rename_count++;
  }
  int result = REAL(rename)(from, to);
  int error = errno;
  if (dies) end_here(dies == 2);
  pthread_mutex_unlock(&mutex);
  errno = error;
  return result;
}

__attribute__((destructor)) static void write_counts(void) {
  const char* path = getenv("FAULTY_DISK_COUNTS");
  for (int i = 0; i < rename_count; i++) {
    if (renames[i].old[0]) unlink(renames[i].old);
  }
  if (!path || operations == 0) return;
  FILE* file = fopen(path, "w");
  if (!file) return;
  fprintf(file, "{\"operations\":%ld,\"writes\":%ld,\"syncs\":%ld}\n", operations, writes, syncs);
  fclose(file);
}
