/* Makes chosen file operations of a program fail, fall short or be its last one. Loaded into it by LD_PRELOAD.
 *
 * FAULT_PATH   only operations on paths that contain this text are counted
 * FAULT_AT     number, from 1, of the operation that fails
 * FAULT_HOW    an error number; "kill": the process dies there; "short": a write writes half and says so
 * FAULT_HIT    a file that is made when the operation has failed
 * FAULT_FLOCK  error number with which every flock fails
 * FAULT_RMDIR  error number with which every removal of a folder fails
 * FAULT_CLOCK  seconds since 1970 that the clock shows
 *
 * A write that fails or is the last one leaves half of its bytes behind.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static long counted;

static int error_of(const char *variable) {
    const char *text = getenv(variable);
    return text ? atoi(text) : 0;
}

static int about(const char *path) {
    const char *wanted = getenv("FAULT_PATH");
    return wanted && path && strstr(path, wanted);
}

static const char *path_of(int fd, char *buffer, size_t size) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, buffer, size - 1);
    if (length < 0) return NULL;
    buffer[length] = 0;
    return buffer;
}

static void note(void) {
    const char *hit = getenv("FAULT_HIT");
    if (!hit) return;
    int fd = REAL(open)(hit, O_CREAT | O_WRONLY, 0600);
    if (fd >= 0) close(fd);
}

/* 0: go on; otherwise the operation's turn has come. */
static int turn(const char *path) {
    const char *at = getenv("FAULT_AT");
    if (!at || !about(path)) return 0;
    if (__sync_add_and_fetch(&counted, 1) != atol(at)) return 0;
    note();
    return 1;
}

static int is(const char *how) {
    const char *given = getenv("FAULT_HOW");
    return given && !strcmp(given, how);
}

static int fail(void) {
    if (is("kill")) {
        kill(getpid(), SIGKILL);
        for (;;) pause();
    }
    if (is("short")) return 0;
    errno = error_of("FAULT_HOW");
    return -1;
}

static int fd_turn(int fd) {
    char buffer[4096];
    return turn(path_of(fd, buffer, sizeof buffer));
}

static int at_turn(int folder, const char *path) {
    char buffer[4096];
    if (path[0] == '/' || folder == AT_FDCWD || about(path)) return turn(path);
    return turn(path_of(folder, buffer, sizeof buffer));
}

#define MODE(last) \
    mode_t mode = 0; \
    if (flags & (O_CREAT | O_TMPFILE)) { va_list rest; va_start(rest, last); mode = va_arg(rest, mode_t); va_end(rest); }

int open(const char *path, int flags, ...) {
    MODE(flags)
    if (turn(path) && fail()) return -1;
    return REAL(open)(path, flags, mode);
}
int open64(const char *path, int flags, ...) {
    MODE(flags)
    if (turn(path) && fail()) return -1;
    return REAL(open64)(path, flags, mode);
}
int openat(int folder, const char *path, int flags, ...) {
    MODE(flags)
    if (at_turn(folder, path) && fail()) return -1;
    return REAL(openat)(folder, path, flags, mode);
}
int openat64(int folder, const char *path, int flags, ...) {
    MODE(flags)
    if (at_turn(folder, path) && fail()) return -1;
    return REAL(openat64)(folder, path, flags, mode);
}
int mkdir(const char *path, mode_t mode) {
    if (turn(path) && fail()) return -1;
    return REAL(mkdir)(path, mode);
}
int rename(const char *from, const char *to) {
    if (turn(to) && fail()) return -1;
    return REAL(rename)(from, to);
}
int unlink(const char *path) {
    if (turn(path) && fail()) return -1;
    return REAL(unlink)(path);
}
int rmdir(const char *path) {
    if (about(path) && error_of("FAULT_RMDIR")) { errno = error_of("FAULT_RMDIR"); return -1; }
    if (turn(path) && fail()) return -1;
    return REAL(rmdir)(path);
}
int unlinkat(int folder, const char *path, int flags) {
    char buffer[4096];
    int ours = about(path) || about(path_of(folder, buffer, sizeof buffer));
    if ((flags & AT_REMOVEDIR) && ours && error_of("FAULT_RMDIR")) { errno = error_of("FAULT_RMDIR"); return -1; }
    if (at_turn(folder, path) && fail()) return -1;
    return REAL(unlinkat)(folder, path, flags);
}
int fsync(int fd) {
    if (fd_turn(fd) && fail()) return -1;
    return REAL(fsync)(fd);
}
int fdatasync(int fd) {
    if (fd_turn(fd) && fail()) return -1;
    return REAL(fdatasync)(fd);
}
int ftruncate64(int fd, off64_t length) {
    if (fd_turn(fd) && fail()) return -1;
    return REAL(ftruncate64)(fd, length);
}
int flock(int fd, int operation) {
    if (error_of("FAULT_FLOCK")) { errno = error_of("FAULT_FLOCK"); return -1; }
    if (fd_turn(fd) && fail()) return -1;
    return REAL(flock)(fd, operation);
}
ssize_t read(int fd, void *bytes, size_t count) {
    if (fd > 2 && fd_turn(fd) && fail()) return -1;
    return REAL(read)(fd, bytes, count);
}
ssize_t write(int fd, const void *bytes, size_t count) {
    if (fd > 2 && fd_turn(fd)) {
        ssize_t half = REAL(write)(fd, bytes, count / 2);
        if (is("short") && count > 1) return half;
        if (fail()) return -1;
    }
    return REAL(write)(fd, bytes, count);
}
int clock_gettime(clockid_t clock, struct timespec *time) {
    int result = REAL(clock_gettime)(clock, time);
    if (clock == CLOCK_REALTIME && getenv("FAULT_CLOCK")) time->tv_sec = atol(getenv("FAULT_CLOCK"));
    return result;
}
