/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether this service would start now: tried by another process, so that what
 * it finds, a PIN that is wrong or a user who does not see the key, costs this
 * one nothing.
 */
#ifndef HSMSIGND_TRIAL_H
#define HSMSIGND_TRIAL_H

#include <stddef.h>

/* Once, before trial_run(): argv has to stay. */
void trial_init(char *const *argv);
enum trial {
    TRIAL_GOOD,
    TRIAL_BAD,     /* but for another reason than the PIN */
    TRIAL_AWAY,    /* try again later */
    TRIAL_REFUSED, /* the PIN was, or it is not known what became of it */
};

/* Exit statuses: the PIN was refused; --check: the HSM does not answer. */
#define TRIAL_EXIT_REFUSED 3
#define TRIAL_EXIT_AWAY    4
/* In a trial, where options.check is this: the PIN of this or a later profile
 */
#define TRIAL_CHECK         2
#define TRIAL_EXIT_PROFILE  16
#define TRIAL_EXIT_PROFILES 200

/*
 * Run this program with --check; blocks, for a minute at most.  Where a PIN was
 * refused *profile is the number of the one whose it is, from 0, or SIZE_MAX
 * where that is not known.
 */
enum trial trial_run(size_t *profile);
/* Before a process ends in the middle of one: it is killed, none begins. */
void trial_abandon(void);

#endif
