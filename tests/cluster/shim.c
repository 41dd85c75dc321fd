/* Loaded before libc (LD_PRELOAD): moves the wall clock and makes the disk slow, as a mapped file says at the moment.

   The file holds two 64-bit integers: nanoseconds that the wall clock is off by, and nanoseconds that every fsync
   and fdatasync takes longer. The monotonic clock stays what it is, as when somebody sets a machine's clock. Waits
   until a moment of the wall clock, which the kernel counts by its own, are moved back. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000L

static volatile int64_t nothing[2];
static volatile int64_t *said = nothing;
static int (*real_clock)(clockid_t, struct timespec *);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static long (*real_syscall)(long, ...);

__attribute__((constructor)) static void begin(void) {
    real_clock = dlsym(RTLD_NEXT, "clock_gettime");
    real_fsync = dlsym(RTLD_NEXT, "fsync");
    real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
    real_syscall = dlsym(RTLD_NEXT, "syscall");
    const char *path = getenv("CLUSTER_TEST_SHIM");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0)
        return;
    void *mapped = mmap(NULL, 2 * sizeof(int64_t), PROT_READ, MAP_SHARED, file, 0);
    if (mapped != MAP_FAILED)
        said = mapped;
    close(file);
}

static void move(struct timespec *at, int64_t by) {
    int64_t nanoseconds = at->tv_nsec + by % SECOND;
    at->tv_sec += by / SECOND;
    if (nanoseconds < 0) {
        nanoseconds += SECOND;
        at->tv_sec -= 1;
    } else if (nanoseconds >= SECOND) {
        nanoseconds -= SECOND;
        at->tv_sec += 1;
    }
    at->tv_nsec = nanoseconds;
}

int clock_gettime(clockid_t clock, struct timespec *at) {
    if (!real_clock)
        begin();
    int result = real_clock(clock, at);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        move(at, said[0]);
    return result;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    at->tv_sec = now.tv_sec;
    at->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at)
        *at = now.tv_sec;
    return now.tv_sec;
}

/* Libraries that wait by themselves come here; only an absolute wait by the wall clock is moved. */
long syscall(long number, ...) {
    long given[6];
    va_list rest;
    va_start(rest, number);
    for (int index = 0; index < 6; index++)
        given[index] = va_arg(rest, long);
    va_end(rest);
    struct timespec until;
    if (number == SYS_futex && (given[1] & FUTEX_CLOCK_REALTIME) && given[3]) {
        until = *(struct timespec *)given[3];
        move(&until, -said[0]);
        given[3] = (long)&until;
    }
    return real_syscall(number, given[0], given[1], given[2], given[3], given[4], given[5]);
}

static void dawdle(void) {
    struct timespec pause = {said[1] / SECOND, said[1] % SECOND};
    if (said[1] > 0)
        nanosleep(&pause, NULL);
}

int fsync(int file) {
    dawdle();
    return real_fsync(file);
}

int fdatasync(int file) {
    dawdle();
    return real_fdatasync(file);
}
