/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log is written by any thread, in any process that was forked from one
 * that logs, and while errors are being handled.  Hence no lock of its own: a
 * line is put together on the stack and handed over in one write(2), which
 * O_APPEND keeps whole among other threads and processes.
 *
 * libc does lock, in gmtime_r(3) and syslog(3), as it does in every program
 * that dates its messages: a child that was forked at that very moment would
 * hang in its first line.  module.c makes that unlikely: before a fork it waits
 * for calls to the token, of which their log lines are a part.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>
#include "log.h"

/* The sink, if it is no descriptor. */
enum { SINK_SYSLOG = -2, SINK_NONE = -1 };

static atomic_int current_sink = SINK_NONE;
atomic_int p11_log_level_now;

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

/* What stands behind the comma; P11_LOG_OFF when it is no level. */
static int level_by_name(const char *name)
{
    int level = P11_LOG_DEBUG;

    while (level > P11_LOG_OFF && strcmp(levels[level].name, name) != 0)
        level--;
    return level;
}

int p11_log_open_file(const char *path)
{
    return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY,
                0600);
}

CK_RV p11_log_open(const char *spec, struct p11_error *err)
{
    const char *comma = strrchr(spec, ',');
    size_t len = comma != NULL ? (size_t)(comma - spec) : strlen(spec);
    int level = comma != NULL ? level_by_name(comma + 1) : P11_LOG_WARNING;
    bool is_stderr = len == 6 && memcmp(spec, "stderr", 6) == 0;
    bool is_syslog = len == 6 && memcmp(spec, "syslog", 6) == 0;
    bool is_file = len > 5 && memcmp(spec, "file:", 5) == 0;
    int sink = is_syslog ? SINK_SYSLOG : STDERR_FILENO, none = SINK_NONE;
    char path[4096];

    if (strcmp(spec, "") == 0 || strcmp(spec, "off") == 0)
        return CKR_OK;
    if (level == P11_LOG_OFF || !(is_stderr || is_syslog || is_file) ||
        len >= sizeof(path))
        return p11_error_set(err, P11_CONFIG,
                             "hsmsign-log or HSMSIGN_LOG is \"%s\": write "
                             "off, or stderr, syslog or file:PATH with an "
                             "optional level (\",error\", \",warning\", "
                             "\",info\", \",debug\")",
                             spec);
    if (atomic_load(&current_sink) != SINK_NONE)
        return CKR_OK;
    if (is_file) {
        (void)snprintf(path, sizeof(path), "%.*s", (int)len - 5, spec + 5);
        sink = p11_log_open_file(path);
        if (sink < 0)
            return p11_error_set(err, P11_CONFIG,
                                 "hsmsign-log or HSMSIGN_LOG is \"%s\": %m",
                                 spec);
    }
    if (atomic_compare_exchange_strong(&current_sink, &none, sink))
        atomic_store(&p11_log_level_now, level);
    else if (is_file)
        (void)close(sink); /* another thread was first, and nobody saw it */
    return CKR_OK;
}

/*
 * The trade: threads that are still inside p11_log are not counted, and could
 * write to the descriptor's next owner, since nobody is when the last provider
 * goes; leaving the file open would cost a descriptor for each load.
 */
void p11_log_close(void)
{
    int sink;

    atomic_store(&p11_log_level_now, P11_LOG_OFF);
    sink = atomic_exchange(&current_sink, SINK_NONE);
    if (sink >= 0 && sink != STDERR_FILENO)
        (void)close(sink);
}

void p11_log_time(char buf[P11_LOG_TIME])
{
    struct timespec now = { 0, 0 };
    struct tm tm = { 0 };
    size_t len;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)gmtime_r(&now.tv_sec, &tm);
    len = strftime(buf, P11_LOG_TIME, "%Y-%m-%dT%H:%M:%S", &tm);
    (void)snprintf(buf + len, P11_LOG_TIME - len, ".%03ldZ",
                   now.tv_nsec / 1000000);
}

bool p11_log_write(int fd, const char *line, size_t len)
{
    ssize_t written;

    do {
        written = write(fd, line, len);
    } while (written < 0 && errno == EINTR);
    return written == (ssize_t)len;
}

void p11_log(enum p11_log_level level, const char *format, ...)
{
    int saved = errno, sink;
    char line[1024];
    va_list args;
    size_t len;

    if (!p11_log_enabled(level))
        return;
    sink = atomic_load(&current_sink);
    p11_log_time(line);
    len = strlen(line);
    /* gettid() is younger than the oldest libc that this is built with */
    len += (size_t)snprintf(line + len, sizeof(line) - len,
                            " hsmsign[%ld/%ld] %s: ", (long)getpid(),
                            syscall(SYS_gettid), levels[level].name);
    errno = saved; /* for %m */
    va_start(args, format);
    len += p11_vformat(line + len, sizeof(line) - len, format, args);
    va_end(args);
    if (sink == SINK_SYSLOG) {
        syslog(LOG_USER | levels[level].priority, "%s",
               line + P11_LOG_TIME); /* it has the time already */
    } else {
        line[len] = '\n'; /* instead of the NUL */
        /* A lost line is no reason to fail: there is nowhere to report it. */
        (void)p11_log_write(sink, line, len + 1);
    }
    errno = saved;
}
