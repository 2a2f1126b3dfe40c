/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The service's log: JSON lines on standard error.  What clients send never
 * enters it, but for names that are checked: no contents, no secrets, no PIN.
 */
#ifndef HSMSIGND_LOG_H
#define HSMSIGND_LOG_H

#include <stddef.h>

enum log_level { LOG_INFO, LOG_WARNING, LOG_ERROR };

/*
 * One line: the time, the level, what happened, and the members that
 * json_pack() makes of format ("{s:s, s:i}") and what follows it.
 */
void log_event(enum log_level level, const char *event, const char *format,
               ...);

/* For text of others: what is not printable ASCII becomes '?'. */
void log_printable(char *text);

#endif
