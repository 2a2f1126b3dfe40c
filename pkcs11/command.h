/* SPDX-License-Identifier: Apache-2.0 */
/* Running a program without a shell, to read what it prints. */
#ifndef HSMSIGN_COMMAND_H
#define HSMSIGN_COMMAND_H

#include <stdbool.h>
#include <sys/types.h>

struct p11_command {
    pid_t pid;
    int fd; /* its standard output, to be read until the end */
};

/*
 * Start line: the absolute path of a program and its arguments, separated by
 * blanks, up to 31 of them; there is no quoting.  Its standard input is
 * empty, its standard error ours.  Returns false with errno set (EINVAL: no
 * absolute path, or too many arguments).  Does not block.
 */
bool p11_command_start(struct p11_command *command, const char *line);

/* What p11_command_end() says besides an exit status or 128 + a signal. */
#define P11_COMMAND_LATE    (-1) /* it was killed when its time was up */
#define P11_COMMAND_UNKNOWN (-2) /* the application took its exit status */

/*
 * Close fd and wait until the program has ended, or for ms milliseconds: then
 * it is killed, with its process group.
 */
int p11_command_end(struct p11_command *command, long ms);

#endif
