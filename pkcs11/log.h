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
 * "off" or "" closes it.  A file is appended to, one write per
 * line, created with mode 0600.  The first sink that was opened stays: a
 * second call with the same text is a no-op, with another text too (the
 * process has one log), except "off".
 *
 * Syslog gets datagrams at /dev/log, in the facility "user"; what it does not
 * take is lost, and that it is not there is no error.
 *
 * Returns CKR_OK, or P11_CONFIG with err filled.  Blocks on the file system.
 */
CK_RV p11_log_open(const char *spec, struct p11_error *err);

/*
 * Close it again, for tests and for unload.  Other threads may be logging:
 * waits until they have written, but no longer than a second.
 */
void p11_log_close(void);

/* Whether a line of this level would be written; costs one atomic load. */
bool p11_log_enabled(enum p11_log_level level);

/*
 * Write one line: time (UTC, milliseconds), process id, thread id, level,
 * message.  The arguments are not looked at when the level is off; "%m" works.
 * Keeps errno.  Control characters in the message become '?'; a line of more
 * than 1023 bytes is cut with "...".  Takes no lock, so that it is safe in a
 * fork's child; blocks for as long as one write(2) does.
 */
void p11_log(enum p11_log_level level, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
