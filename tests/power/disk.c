/* A disk that tells what it is asked, and fails when it is told to.
 *
 * Loaded with LD_PRELOAD before libc. Of everything below POWER_DIRECTORY it writes a journal to
 * POWER_JOURNAL: which file was made, written, cut, synced, renamed, removed, in the order in which it
 * happened. tests/power/disk.py reads it. The file POWER_FAULTS, read before each operation, names
 * the operations that fail:
 *
 *     write -wal ENOSPC        each write to a file whose name ends with -wal
 *     write * short            half of it is written, and then there is no room for the rest
 *     sync .db EIO             fsync and fdatasync
 *     open * EROFS             opening for writing; `name` is making, renaming and removing
 *     read .db EIO             what SQLite reads of a file, which is not in the journal
 *
 * A lock is held over each operation, so that the order in the journal is the order in the kernel.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define FILES_MAX 4096

struct record {
    char kind;
    char padding[3];
    int32_t file;
    int64_t offset;
    int64_t length; /* of the data that follow */
};

static pthread_mutex_t lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static const char *directory;
static const char *faults;
static size_t directory_length;
static int journal = -1;
static char *paths[FILES_MAX]; /* of the open files below the directory, by descriptor */

static void stop(const char *why)
{
    dprintf(2, "power: %s\n", why);
    abort();
}

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("POWER_JOURNAL");

    directory = getenv("POWER_DIRECTORY");
    faults = getenv("POWER_FAULTS");
    if (directory != NULL)
        directory_length = strlen(directory);
    if (path != NULL) {
        journal = syscall(SYS_openat, AT_FDCWD, path,
                          O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (journal < 0)
            stop("the journal cannot be opened");
    }
}

static void note(char kind, int file, int64_t offset, const void *data, size_t length)
{
    struct record record = {kind, {0}, file, offset, (int64_t)length};
    struct iovec parts[2] = {{&record, sizeof record}, {(void *)data, length}};

    if (journal < 0)
        return;
    if (syscall(SYS_writev, journal, parts, 2) != (long)(sizeof record + length))
        stop("the journal cannot be written");
}

/* The absolute path in `into`, and whether it is the directory or lies below it. */
static int watched(int at, const char *path, char *into)
{
    if (directory == NULL || path == NULL)
        return 0;
    if (path[0] == '/' || at != AT_FDCWD)
        snprintf(into, PATH_MAX, "%s", path);
    else {
        char here[PATH_MAX];
        if (syscall(SYS_getcwd, here, sizeof here) < 0)
            stop("there is no working directory");
        if (snprintf(into, PATH_MAX, "%s/%s", here, path) >= PATH_MAX)
            stop("a path is too long");
    }
    return strncmp(into, directory, directory_length) == 0
        && (into[directory_length] == 0 || into[directory_length] == '/');
}

static const char *path_of(int file)
{
    return file >= 0 && file < FILES_MAX ? paths[file] : NULL;
}

static int number_of(const char *name)
{
    static const struct { const char *name; int number; } known[] = {
        {"ENOSPC", ENOSPC}, {"EIO", EIO}, {"EROFS", EROFS}, {"short", -1},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i].name, name) == 0)
            return known[i].number;
    stop("a fault has no such name");
    return 0;
}

/* The number of the error the operation is to fail with, 0 for none, -1 for a short write. */
static int fault(const char *operation, const char *path)
{
    char text[1024], *line, *rest = NULL;
    long file, length;

    if (faults == NULL || path == NULL)
        return 0;
    file = syscall(SYS_openat, AT_FDCWD, faults, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return 0;
    length = syscall(SYS_read, file, text, sizeof text - 1);
    syscall(SYS_close, file);
    text[length > 0 ? length : 0] = 0;
    for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        char named[16], suffix[64], error[16];
        if (sscanf(line, "%15s %63s %15s", named, suffix, error) != 3)
            stop("a line of the faults is not: operation, end of the name, error");
        size_t have = strlen(path), want = strlen(suffix);
        int fits = strcmp(suffix, "*") == 0
            || (have >= want && strcmp(path + have - want, suffix) == 0);
        if (fits && strcmp(named, operation) == 0) {
            note('F', -1, 0, line, strlen(line));
            return number_of(error);
        }
    }
    return 0;
}

static int failed(int number)
{
    errno = number;
    return -1;
}

/* Marks, which the program under test puts into the journal through ctypes. */
void power_mark(const char *text)
{
    pthread_mutex_lock(&lock);
    note('M', -1, 0, text, strlen(text));
    pthread_mutex_unlock(&lock);
}

/* Opening and closing */

static int opened(int at, const char *given, int flags, mode_t mode)
{
    char path[PATH_MAX];
    struct stat before;
    int file, there, number, saved;

    if (!watched(at, given, path))
        return syscall(SYS_openat, at, given, flags, mode);
    pthread_mutex_lock(&lock);
    there = stat(path, &before) == 0;
    number = flags & (O_WRONLY | O_RDWR | O_CREAT) ? fault("open", path) : 0;
    if (number > 0) {
        pthread_mutex_unlock(&lock);
        return failed(number);
    }
    file = syscall(SYS_openat, at, given, flags, mode);
    saved = errno;
    if (file >= 0) {
        if (file >= FILES_MAX)
            stop("too many files are open");
        free(paths[file]);
        paths[file] = strdup(path);
        note(there ? 'o' : 'O', file, 0, path, strlen(path));
        if (there && flags & O_TRUNC)
            note('T', file, 0, NULL, 0);
    }
    pthread_mutex_unlock(&lock);
    errno = saved;
    return file;
}

#define MODE(flags)                                   \
    mode_t mode = 0;                                  \
    if ((flags) & (O_CREAT | O_TMPFILE)) {            \
        va_list more;                                 \
        va_start(more, flags);                        \
        mode = va_arg(more, mode_t);                  \
        va_end(more);                                 \
    }

int open(const char *path, int flags, ...) { MODE(flags) return opened(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags) return opened(AT_FDCWD, path, flags, mode); }
int openat(int at, const char *path, int flags, ...) { MODE(flags) return opened(at, path, flags, mode); }
int openat64(int at, const char *path, int flags, ...) { MODE(flags) return opened(at, path, flags, mode); }
int creat(const char *path, mode_t mode) { return opened(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, mode); }
int creat64(const char *path, mode_t mode) { return creat(path, mode); }

int close(int file)
{
    int result;

    pthread_mutex_lock(&lock);
    if (path_of(file) != NULL) {
        note('C', file, 0, NULL, 0);
        free(paths[file]);
        paths[file] = NULL;
    }
    result = syscall(SYS_close, file);
    pthread_mutex_unlock(&lock);
    return result;
}

/* Writing; an offset of -1 is where the file stands. */

static ssize_t written(int file, const void *data, size_t length, off64_t offset)
{
    int number;
    ssize_t result;
    off64_t begin;

    if (path_of(file) == NULL)
        return offset < 0 ? syscall(SYS_write, file, data, length)
                          : syscall(SYS_pwrite64, file, data, length, offset);
    pthread_mutex_lock(&lock);
    number = fault("write", path_of(file));
    if (number == -1 && length < 2)
        number = ENOSPC;
    if (number > 0) {
        pthread_mutex_unlock(&lock);
        return failed(number);
    }
    if (number == -1)
        length /= 2;
    begin = offset < 0 ? lseek64(file, 0, SEEK_CUR) : offset;
    result = offset < 0 ? syscall(SYS_write, file, data, length)
                        : syscall(SYS_pwrite64, file, data, length, offset);
    if (result > 0)
        note('W', file, begin, data, result);
    pthread_mutex_unlock(&lock);
    return result;
}

ssize_t write(int file, const void *data, size_t length) { return written(file, data, length, -1); }
ssize_t pwrite(int file, const void *data, size_t length, off_t at) { return written(file, data, length, at); }
ssize_t pwrite64(int file, const void *data, size_t length, off64_t at) { return written(file, data, length, at); }

/* Reading, only to fail. */
ssize_t pread64(int file, void *data, size_t length, off64_t at)
{
    int number = 0;

    if (path_of(file) != NULL) {
        pthread_mutex_lock(&lock);
        number = fault("read", path_of(file));
        pthread_mutex_unlock(&lock);
    }
    return number > 0 ? failed(number) : syscall(SYS_pread64, file, data, length, at);
}

ssize_t pread(int file, void *data, size_t length, off_t at) { return pread64(file, data, length, at); }

/* Nobody writes the files of the store in these ways; if somebody does, the journal has a hole. */
ssize_t writev(int file, const struct iovec *parts, int count)
{
    if (path_of(file) != NULL)
        stop("writev is not watched");
    return syscall(SYS_writev, file, parts, count);
}

ssize_t sendfile64(int to, int from, off64_t *at, size_t count)
{
    if (path_of(to) != NULL)
        return failed(EINVAL); /* Python then copies with write. */
    return syscall(SYS_sendfile, to, from, at, count);
}

ssize_t sendfile(int to, int from, off_t *at, size_t count) { return sendfile64(to, from, at, count); }

int posix_fallocate(int file, off_t at, off_t length)
{
    if (path_of(file) != NULL)
        stop("posix_fallocate is not watched");
    return syscall(SYS_fallocate, file, 0, at, length) < 0 ? errno : 0;
}

int ftruncate64(int file, off64_t length)
{
    int result, number;

    pthread_mutex_lock(&lock);
    number = fault("write", path_of(file));
    result = number > 0 ? failed(number) : (int)syscall(SYS_ftruncate, file, length);
    if (result == 0 && path_of(file) != NULL)
        note('T', file, length, NULL, 0);
    pthread_mutex_unlock(&lock);
    return result;
}

int ftruncate(int file, off_t length) { return ftruncate64(file, length); }

/* Syncing: what failed is noted as well, for a later sync that works does not make up for it. */

static int synced(int file, long call)
{
    int result, number;

    pthread_mutex_lock(&lock);
    number = fault("sync", path_of(file));
    result = number > 0 ? failed(number) : (int)syscall(call, file);
    if (path_of(file) != NULL)
        note(result == 0 ? 'S' : 'E', file, 0, NULL, 0);
    pthread_mutex_unlock(&lock);
    if (number > 0)
        errno = number;
    return result;
}

int fsync(int file) { return synced(file, SYS_fsync); }
int fdatasync(int file) { return synced(file, SYS_fdatasync); }

/* Names */

static int named(char kind, const char *path, long result)
{
    if (result == 0)
        note(kind, -1, 0, path, strlen(path));
    return result;
}

static int removed(int at, const char *given, int flags)
{
    char path[PATH_MAX];
    int result, number;

    if (!watched(at, given, path))
        return syscall(SYS_unlinkat, at, given, flags);
    pthread_mutex_lock(&lock);
    number = fault("name", path);
    result = number > 0 ? failed(number)
                        : named('U', path, syscall(SYS_unlinkat, at, given, flags));
    pthread_mutex_unlock(&lock);
    return result;
}

int unlink(const char *path) { return removed(AT_FDCWD, path, 0); }
int unlinkat(int at, const char *path, int flags) { return removed(at, path, flags); }
int rmdir(const char *path) { return removed(AT_FDCWD, path, AT_REMOVEDIR); }

int mkdir(const char *given, mode_t mode)
{
    char path[PATH_MAX];
    int result, number;

    if (!watched(AT_FDCWD, given, path))
        return syscall(SYS_mkdirat, AT_FDCWD, given, mode);
    pthread_mutex_lock(&lock);
    number = fault("name", path);
    result = number > 0 ? failed(number)
                        : named('D', path, syscall(SYS_mkdirat, AT_FDCWD, given, mode));
    pthread_mutex_unlock(&lock);
    return result;
}

static int renamed(int from_at, const char *from, int to_at, const char *to)
{
    char old[PATH_MAX], both[2 * PATH_MAX];
    int result, number;
    size_t length;

    if (!watched(from_at, from, old) || !watched(to_at, to, both))
        return syscall(SYS_renameat, from_at, from, to_at, to);
    pthread_mutex_lock(&lock);
    number = fault("name", old);
    result = number > 0 ? failed(number) : (int)syscall(SYS_renameat, from_at, from, to_at, to);
    if (result == 0) {
        length = strlen(both);
        strcpy(both + length + 1, old);
        note('R', -1, 0, both, length + 1 + strlen(old));
    }
    pthread_mutex_unlock(&lock);
    return result;
}

int rename(const char *from, const char *to) { return renamed(AT_FDCWD, from, AT_FDCWD, to); }
int renameat(int from_at, const char *from, int to_at, const char *to) { return renamed(from_at, from, to_at, to); }
