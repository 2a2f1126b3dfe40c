/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log is written by any thread, in any process that was forked from one
 * that logs, and while errors are being handled.  Hence no lock: a line is
 * put together on the stack and handed over in one system call, which
 * O_APPEND keeps whole among other threads and processes.
 *
 * Nothing here takes a lock inside libc either, since a fork's child may
 * inherit it locked.  That is why the date is computed by hand (gmtime_r
 * locks the time zone) and why syslog(3) is not used (it locks, and its
 * openlog belongs to the application): a datagram to /dev/log is what it
 * sends.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>
#include "log.h"

#define LINE_MAX_BYTES 1024

enum sink_kind { SINK_NONE, SINK_STDERR, SINK_FILE, SINK_SYSLOG };

/*
 * The sink is one word, so that it is opened and closed by one exchange: the
 * descriptor, times four, plus the kind.  0 is none.
 */
#define SINK(kind, fd)  ((long)(fd)*4 + (long)(kind))
#define SINK_KIND(sink) ((enum sink_kind)((sink)&3))
#define SINK_FD(sink)   ((int)((sink) / 4))

static atomic_long current_sink;
static atomic_int current_level;
/* Threads between reading current_sink and having written to it. */
static atomic_uint writers;

static const struct {
    const char *name;
    int priority; /* syslog's */
} levels[] = {
    [P11_LOG_OFF] = { "off", LOG_ERR },
    [P11_LOG_ERROR] = { "error", LOG_ERR },
    [P11_LOG_WARNING] = { "warning", LOG_WARNING },
    [P11_LOG_INFO] = { "info", LOG_INFO },
    [P11_LOG_DEBUG] = { "debug", LOG_DEBUG },
};

#define N_LEVELS (sizeof(levels) / sizeof(levels[0]))

/* What a text like "file:/var/log/hsmsign.log,debug" asks for. */
struct log_spec {
    enum sink_kind kind;
    enum p11_log_level level;
    char path[4096];
};

static CK_RV bad_spec(struct p11_error *err, const char *spec)
{
    return p11_error_set(err, P11_CONFIG,
                         "hsmsign-log or HSMSIGN_LOG is \"%s\": write off, or "
                         "stderr, syslog or file:PATH with an optional level "
                         "(\",error\", \",warning\", \",info\", \",debug\")",
                         spec);
}

static CK_RV spec_parse(const char *text, struct log_spec *spec,
                        struct p11_error *err)
{
    const char *comma = strrchr(text, ',');
    size_t len = comma != NULL ? (size_t)(comma - text) : strlen(text);
    size_t i = P11_LOG_WARNING;

    /* The last comma counts, so that a path with commas takes ",LEVEL". */
    if (comma != NULL) {
        for (i = P11_LOG_ERROR; i < N_LEVELS; i++) {
            if (strcmp(comma + 1, levels[i].name) == 0)
                break;
        }
        if (i == N_LEVELS)
            return bad_spec(err, text);
    }
    spec->level = (enum p11_log_level)i;
    if (strcmp(text, "") == 0 || strcmp(text, "off") == 0) {
        spec->kind = SINK_NONE;
    } else if (len == 6 && memcmp(text, "stderr", 6) == 0) {
        spec->kind = SINK_STDERR;
    } else if (len == 6 && memcmp(text, "syslog", 6) == 0) {
        spec->kind = SINK_SYSLOG;
    } else if (len > 5 && memcmp(text, "file:", 5) == 0 &&
               len - 5 < sizeof(spec->path)) {
        spec->kind = SINK_FILE;
        memcpy(spec->path, text + 5, len - 5);
        spec->path[len - 5] = '\0';
    } else {
        return bad_spec(err, text);
    }
    return CKR_OK;
}

/* The descriptor for spec, or -1 with errno set. */
static int sink_open(const struct log_spec *spec)
{
    switch (spec->kind) {
    case SINK_FILE:
        return open(spec->path,
                    O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);
    case SINK_SYSLOG:
        return socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    case SINK_STDERR:
    case SINK_NONE:
        break;
    }
    return STDERR_FILENO;
}

/*
 * Close what was the sink, after the last writer let go of it: otherwise a
 * line could land in whatever file gets the same descriptor.  A writer that
 * never ends (a full pipe, or a thread that a fork left behind) costs a
 * second and leaves the descriptor open.
 */
static void sink_close(long sink)
{
    static const struct timespec tick = { 0, 1000000 };

    if (SINK_KIND(sink) != SINK_FILE && SINK_KIND(sink) != SINK_SYSLOG)
        return;
    for (int ms = 0; atomic_load(&writers) > 0; ms++) {
        if (ms == 1000)
            return;
        (void)nanosleep(&tick, NULL);
    }
    (void)close(SINK_FD(sink));
}

CK_RV p11_log_open(const char *text, struct p11_error *err)
{
    struct log_spec spec = { 0 };
    long none = 0, sink;
    CK_RV rv = spec_parse(text, &spec, err);
    int fd;

    if (rv != CKR_OK)
        return rv;
    if (spec.kind == SINK_NONE) {
        p11_log_close();
        return CKR_OK;
    }
    if (atomic_load(&current_sink) != 0)
        return CKR_OK;
    fd = sink_open(&spec);
    if (fd < 0)
        return p11_error_set(err, P11_CONFIG,
                             "hsmsign-log or HSMSIGN_LOG is \"%s\": %m", text);
    sink = SINK(spec.kind, fd);
    if (atomic_compare_exchange_strong(&current_sink, &none, sink))
        atomic_store(&current_level, (int)spec.level);
    else if (spec.kind != SINK_STDERR)
        (void)close(fd); /* another thread was first, and nobody saw fd */
    return CKR_OK;
}

void p11_log_close(void)
{
    atomic_store(&current_level, P11_LOG_OFF);
    sink_close(atomic_exchange(&current_sink, 0));
}

bool p11_log_enabled(enum p11_log_level level)
{
    return level != P11_LOG_OFF &&
           (int)level <=
               atomic_load_explicit(&current_level, memory_order_relaxed);
}

/* "2026-05-23T00:08:18.047Z": the proleptic Gregorian calendar, in UTC. */
static void format_time(char *buf, size_t size)
{
    struct timespec now = { 0, 0 };
    long days, second, era, day_of_era, year_of_era, day_of_year, month, day;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    days = (long)(now.tv_sec / 86400) + 719468; /* since 0000-03-01 */
    second = (long)(now.tv_sec % 86400);
    era = days / 146097; /* of 400 years */
    day_of_era = days % 146097;
    year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 -
                   day_of_era / 146096) /
                  365;
    day_of_year =
        day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    month = (5 * day_of_year + 2) / 153; /* 0 is March */
    day = day_of_year - (153 * month + 2) / 5 + 1;
    month = month < 10 ? month + 3 : month - 9;
    (void)snprintf(buf, size, "%04ld-%02ld-%02ldT%02ld:%02ld:%02ld.%03ldZ",
                   era * 400 + year_of_era + (month <= 2), month, day,
                   second / 3600, second / 60 % 60, second % 60,
                   now.tv_nsec / 1000000);
}

/* What stands before the message; returns its length. */
static size_t format_prefix(char *line, size_t size, enum sink_kind kind,
                            enum p11_log_level level)
{
    long pid = (long)getpid();
    long tid = syscall(SYS_gettid); /* gettid() is younger than our libc */
    char when[64];
    int len;

    format_time(when, sizeof(when));
    if (kind == SINK_SYSLOG)
        len = snprintf(line, size, "<%d>hsmsign[%ld]: %s %ld %s: ",
                       LOG_USER | levels[level].priority, pid, when, tid,
                       levels[level].name);
    else
        len = snprintf(line, size, "%s hsmsign[%ld/%ld] %s: ", when, pid, tid,
                       levels[level].name);
    return len > 0 ? (size_t)len : 0;
}

/* A lost line is no reason to fail, and there is nowhere to report it. */
static void sink_write(long sink, const char *line, size_t len)
{
    static const struct sockaddr_un to = { AF_UNIX, "/dev/log" };
    ssize_t n;

    do {
        if (SINK_KIND(sink) == SINK_SYSLOG)
            n = sendto(SINK_FD(sink), line, len, MSG_NOSIGNAL,
                       (const struct sockaddr *)&to, sizeof(to));
        else
            n = write(SINK_FD(sink), line, len);
    } while (n < 0 && errno == EINTR);
}

void p11_log(enum p11_log_level level, const char *format, ...)
{
    static const char cut[] = "...";
    int saved = errno;
    char line[LINE_MAX_BYTES];
    size_t begin, len;
    va_list args;
    long sink;
    int n;

    if (!p11_log_enabled(level))
        return;
    atomic_fetch_add(&writers, 1);
    sink = atomic_load(&current_sink);
    if (sink == 0)
        goto out; /* closed in the meantime */
    begin = format_prefix(line, sizeof(line), SINK_KIND(sink), level);
    errno = saved; /* for %m */
    va_start(args, format);
    n = vsnprintf(line + begin, sizeof(line) - begin, format, args);
    va_end(args);
    if (n < 0)
        goto out;
    len = begin + (size_t)n;
    if (len >= sizeof(line)) {
        len = sizeof(line) - 1;
        memcpy(line + len - (sizeof(cut) - 1), cut, sizeof(cut) - 1);
    }
    for (size_t i = begin; i < len; i++) {
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
            line[i] = '?';
    }
    if (SINK_KIND(sink) != SINK_SYSLOG)
        line[len++] = '\n';
    sink_write(sink, line, len);
out:
    atomic_fetch_sub(&writers, 1);
    errno = saved;
}
