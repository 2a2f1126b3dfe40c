/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log: off by default; one sink a process, because the PKCS #11 modules
 * whose calls it shows are shared by the whole process as well.
 *
 * Nothing that is or might be a PIN, and no data that is signed, is ever
 * handed to these functions.
 */
#ifndef HSMSIGN_LOG_H
#define HSMSIGN_LOG_H

#include <stdatomic.h>
#include <stdbool.h>
#include "rv.h"

enum p11_log_level {
    P11_LOG_OFF,
    P11_LOG_ERROR,
    P11_LOG_WARNING,
    P11_LOG_INFO,
    P11_LOG_DEBUG
};

/*
 * Open the log as "stderr", "syslog" or "file:PATH", each optionally followed
 * by ",LEVEL" with LEVEL one of error, warning, info, debug (default:
 * warning); the last comma counts, so that a PATH with a comma needs a LEVEL.
 * "off" or "" opens none.  A file is appended to, one write per line, created
 * with mode 0600.  The process has one log: the first sink that was opened
 * stays, and a later call changes nothing.  Syslog is syslog(3) in the
 * facility "user", under the name that the application chose.
 *
 * Returns CKR_OK, or P11_CONFIG with err filled.  Blocks on the file system.
 */
CK_RV p11_log_open(const char *spec, struct p11_error *err);

/* What other logs share: */
#define P11_LOG_TIME 25 /* of p11_log_time(), with the NUL */
/* Now, in UTC: "2026-05-23T00:08:18.047Z" (RFC 3339). */
void p11_log_time(char buf[P11_LOG_TIME]);
/* To append to path, created with mode 0600: a descriptor, or -1 and errno. */
int p11_log_open_file(const char *path);
/* In one write(2); whether all of it was.  Blocks for as long. */
bool p11_log_write(int fd, const char *line, size_t len);

/* Close it again, when no other thread logs: for tests and for unload. */
void p11_log_close(void);

extern atomic_int p11_log_level_now; /* for p11_log_enabled() */

/* Whether a line of this level would be written; costs one atomic load. */
static inline bool p11_log_enabled(enum p11_log_level level)
{
    return level != P11_LOG_OFF &&
           (int)level <=
               atomic_load_explicit(&p11_log_level_now, memory_order_relaxed);
}

/*
 * Write one line: time (UTC, milliseconds), process id, thread id, level,
 * message.  The arguments are not looked at when the level is off; "%m" works.
 * Keeps errno.  The message is on one line as p11_vformat makes it; the whole
 * has at most 1023 bytes.  Blocks for as long as one write(2) does.
 */
void p11_log(enum p11_log_level level, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
