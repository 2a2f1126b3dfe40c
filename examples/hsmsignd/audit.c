/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nothing in the file is ever taken back: a line that was not written whole is
 * evidence too, of a crash or a full disk.  So the one rule, at the start and
 * after each failure, is to read where the last whole line ends and to go on
 * from there; what stands behind it is closed off by a newline, and its hash
 * goes into the next line.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "audit_line.h"
#include "pkcs11/log.h"

/* How far from the end the last whole line is looked for. */
#define TAIL_MAX ((size_t)65536)

#define UNWRITABLE "cannot be written: "

struct tail {
    struct audit_line last; /* its torn: of what stands behind it */
    bool newline;           /* the file does not end with one */
};

struct audit {
    char *path;
    bool sync;
    pthread_mutex_t lock; /* of what follows, while a line is written */
    int fd;
    struct tail tail;
    bool stale; /* a write failed: the tail has to be read */
    /*
     * One thread syncs for all that have written by then.  Is taken before
     * lock, and is what the rest and the change of fd need.
     */
    pthread_mutex_t syncing;
    uint64_t synced, lost; /* up to which seq that succeeded, and failed */
};

__attribute__((format(printf, 3, 4))) static bool
set_error(char *error, size_t size, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vsnprintf(error, size, format, args);
    va_end(args);
    return false;
}

/* buf is the file's end, all: and its begin.  NULL, or what is wrong. */
static const char *parse_tail(const char *buf, size_t len, bool all,
                              struct tail *t)
{
    bool newline = len > 0 && buf[len - 1] == '\n', good = false;
    size_t stop = len - newline, end = stop, begin = len, rest = 0;
    struct audit_line line;

    while (!good && begin > 0) {
        const char *before = memrchr(buf, '\n', end);

        begin = before != NULL ? (size_t)(before - buf) + 1 : 0;
        good =
            audit_line_read(buf + begin, end - begin, &line) == AUDIT_LINE_GOOD;
        rest = good ? end + 1 : 0;
        end = begin > 0 ? begin - 1 : 0;
    }
    if (!good && !all)
        return "its last 64 KiB have no whole line: move it away";
    if (!good && len > 0 &&
        audit_line_read(buf, strcspn(buf, "\n"), &line) == AUDIT_LINE_ALIEN)
        return "it is something else than an audit log";
    if (!good)
        line = (struct audit_line){ .this = AUDIT_NO_HASH };
    t->last = line;
    t->newline = len > 0 && !newline;
    t->last.torn[0] = '\0';
    return rest >= len || audit_hash(buf + rest, stop - rest, t->last.torn)
               ? NULL
               : "out of memory";
}

/* NULL, or what is wrong. */
static const char *read_tail(int fd, struct tail *t)
{
    char *buf = calloc(1, TAIL_MAX + 1); /* and a NUL */
    const char *wrong = "it cannot be read";
    off_t size = lseek(fd, 0, SEEK_END), begin;
    size_t len = 0;
    ssize_t n = 1;

    begin = size > (off_t)TAIL_MAX ? size - (off_t)TAIL_MAX : 0;
    while (buf != NULL && size >= 0 && n > 0 && len < TAIL_MAX) {
        n = pread(fd, buf + len, TAIL_MAX - len, begin + (off_t)len);
        len += n > 0 ? (size_t)n : 0;
    }
    if (buf != NULL && size >= 0 && n >= 0)
        wrong = parse_tail(buf, len, begin == 0, t);
    free(buf);
    return wrong;
}

/* The descriptor, locked, and the tail; -1 and a message. */
static int open_file(const char *path, struct tail *t, char *error, size_t size)
{
    int fd = open(
        path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
        0600);
    const char *wrong;
    struct stat st;

    if (fd < 0) {
        (void)set_error(error, size, UNWRITABLE "%m");
        return -1;
    }
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        wrong = "it is no regular file";
    else if (flock(fd, LOCK_EX | LOCK_NB) != 0)
        wrong = errno == EWOULDBLOCK
                    ? "another process writes to it: each needs its own file"
                    : "it cannot be locked: it has to be on a file system "
                      "that has flock(2)";
    else
        wrong = read_tail(fd, t);
    if (wrong == NULL)
        return fd;
    (void)set_error(error, size, "%s", wrong);
    (void)close(fd);
    return -1;
}

/* After a failure; false and errno. */
static bool recover(struct audit *a)
{
    struct tail t;

    if (read_tail(a->fd, &t) != NULL) {
        errno = EIO;
        return false;
    }
    /* Of a file that was emptied meanwhile the chain is known still. */
    if (t.last.seq >= a->tail.last.seq)
        a->tail.last = t.last;
    else
        memcpy(a->tail.last.torn, t.last.torn, AUDIT_HASH);
    a->tail.newline = t.newline;
    a->stale = false;
    return true;
}

/* With the lock held; false and errno. */
static bool write_line(struct audit *a, const struct audit_entry *e)
{
    char text[1 + AUDIT_LINE_MAX] = "\n";
    struct audit_line line;
    struct stat st;
    size_t len;

    if ((a->stale && !recover(a)) || fstat(a->fd, &st) != 0)
        return false;
    if (st.st_nlink == 0) {
        errno = ENOENT;
        return false;
    }
    line = a->tail.last;
    line.seq++;
    memcpy(line.prev, a->tail.last.this, AUDIT_HASH);
    len = audit_line_make(e, &line, text + 1);
    if (len == 0) {
        errno = ENOMEM;
        return false;
    }
    errno = 0;
    if (!p11_log_write(a->fd, text + !a->tail.newline, len + a->tail.newline)) {
        a->stale = true;
        /* Whatever has room for a part only is full. */
        errno = errno != 0 ? errno : ENOSPC;
        return false;
    }
    line.torn[0] = '\0';
    a->tail = (struct tail){ .last = line };
    return true;
}

/* With syncing held, and what was written up to seq; false and errno. */
static bool sync_up_to(struct audit *a, uint64_t seq)
{
    bool ok = fdatasync(a->fd) == 0;

    *(ok ? &a->synced : &a->lost) = seq;
    return ok;
}

/* With syncing held; false and errno. */
static bool sync_file(struct audit *a)
{
    struct audit_mark mark;
    int error;

    audit_last(a, &mark);
    if (sync_up_to(a, mark.seq))
        return true;
    /* What was written meanwhile may be lost as well: it is told but once. */
    error = errno;
    audit_last(a, &mark);
    a->lost = mark.seq;
    errno = error;
    return false;
}

/* Whether the line is on the disk; false and errno. */
static bool sync_line(struct audit *a, uint64_t seq)
{
    bool ok = true;

    (void)pthread_mutex_lock(&a->syncing);
    /* A failure is told by the kernel but once. */
    if (seq <= a->lost) {
        errno = EIO;
        ok = false;
    } else if (seq > a->synced) {
        ok = sync_file(a);
    }
    (void)pthread_mutex_unlock(&a->syncing);
    return ok;
}

static void copy_mark(const struct audit *a, struct audit_mark *mark)
{
    mark->seq = a->tail.last.seq;
    memcpy(mark->hash, a->tail.last.this, AUDIT_HASH);
}

bool audit_write(struct audit *a, const struct audit_entry *e,
                 struct audit_mark *mark)
{
    struct audit_mark own;
    bool ok;

    (void)pthread_mutex_lock(&a->lock);
    ok = write_line(a, e);
    copy_mark(a, &own);
    (void)pthread_mutex_unlock(&a->lock);
    if (ok && mark != NULL)
        *mark = own;
    return ok && (!a->sync || sync_line(a, own.seq));
}

void audit_last(struct audit *a, struct audit_mark *mark)
{
    (void)pthread_mutex_lock(&a->lock);
    copy_mark(a, mark);
    (void)pthread_mutex_unlock(&a->lock);
}

struct audit *audit_open(const char *path, bool sync, char *error, size_t size)
{
    struct audit *a = calloc(1, sizeof(*a));
    bool ok = a != NULL && (a->path = strdup(path)) != NULL;

    if (!ok) {
        free(a);
        (void)set_error(error, size, "out of memory");
        return NULL;
    }
    a->sync = sync;
    (void)pthread_mutex_init(&a->lock, NULL);
    (void)pthread_mutex_init(&a->syncing, NULL);
    a->fd = open_file(path, &a->tail, error, size);
    ok = a->fd >= 0 && (audit_write(a, NULL, NULL) ||
                        set_error(error, size, UNWRITABLE "%m"));
    if (ok)
        return a;
    audit_close(a);
    return NULL;
}

/* Whether path is what fd has open. */
static bool is_same(const char *path, int fd)
{
    struct stat a, b;

    return stat(path, &a) == 0 && fstat(fd, &b) == 0 && a.st_dev == b.st_dev &&
           a.st_ino == b.st_ino;
}

/* Go on in fd, with both locks held. */
static void change_file(struct audit *a, int fd, const struct tail *t)
{
    /* A line may be there, whole but for its newline. */
    if (a->stale)
        (void)recover(a);
    /* What was written since the caller did; nobody could any more. */
    if (a->sync)
        (void)sync_up_to(a, a->tail.last.seq);
    memcpy(a->tail.last.torn, t->last.torn, AUDIT_HASH);
    a->tail.newline = t->newline;
    a->stale = false;
    (void)close(a->fd);
    a->fd = fd;
}

bool audit_reopen(struct audit *a, char *error, size_t size)
{
    struct tail t;
    bool ok;
    int fd;

    (void)pthread_mutex_lock(&a->syncing);
    ok = is_same(a->path, a->fd);
    fd = ok ? -1 : open_file(a->path, &t, error, size);
    if (fd >= 0 && t.last.seq > 0) {
        (void)set_error(error, size, "it has other lines: move it away");
        (void)close(fd);
        fd = -1;
    }
    if (fd >= 0) {
        if (a->sync)
            (void)sync_file(a); /* those that wait for it are told */
        (void)pthread_mutex_lock(&a->lock);
        change_file(a, fd, &t);
        (void)pthread_mutex_unlock(&a->lock);
    }
    (void)pthread_mutex_unlock(&a->syncing);
    if (fd < 0)
        return ok;
    return audit_write(a, NULL, NULL) ||
           set_error(error, size, UNWRITABLE "%m");
}

void audit_close(struct audit *a)
{
    if (a == NULL)
        return;
    if (a->fd >= 0)
        (void)close(a->fd);
    (void)pthread_mutex_destroy(&a->syncing);
    (void)pthread_mutex_destroy(&a->lock);
    free(a->path);
    free(a);
}
