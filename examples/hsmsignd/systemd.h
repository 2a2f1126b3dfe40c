/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a service manager tells and wants to know: sd_listen_fds(3) and
 * sd_notify(3), whose protocols are stable and need no library.
 */
#ifndef HSMSIGND_SYSTEMD_H
#define HSMSIGND_SYSTEMD_H

/*
 * The socket to listen on that we were started with; -1: none; -2: more than
 * one, which is said on standard error.
 */
int systemd_socket(void);
/* Tell it, if there is one: "READY=1"; after "STOPPING=1" nothing more. */
void systemd_notify(const char *state);

#endif
