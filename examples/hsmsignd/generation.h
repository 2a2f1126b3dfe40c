/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a service signs with: profiles and users, read as one, and replaced as
 * one while requests run.  Each request keeps the generation in which it began,
 * and an earlier one stays for ten minutes: a document whose certificate was
 * asked for before a rotation is signed by that certificate's key.
 */
#ifndef HSMSIGND_GENERATION_H
#define HSMSIGND_GENERATION_H

#include <stddef.h>
#include <stdint.h>
#include "options.h"
#include "profile.h"
#include "users.h"

struct generation {
    struct users *users; /* NULL: everybody may sign */
    size_t n;            /* 0: nothing is loaded as yet */
    struct profile **profiles;
    /* generation.c's. */
    struct generation *older;
    unsigned refs;
    uint64_t replaced; /* pool_now(); 0: it was not */
};

struct generations;

/* With one that has no users and no profiles.  NULL: there is no memory. */
struct generations *generations_new(const struct options *options);
/* When no request has one any more. */
void generations_free(struct generations *gs);

/*
 * Read all of it, and if it is good begin a new generation.  The reasons are
 * logged.  A chain that was complete has to stay so.  A PIN that has changed is
 * tried by another process first, and then all of this one logs in anew; one
 * that was refused there is not tried again.  For one thread at a time; blocks
 * on the token.
 */
enum profile_state generations_load(struct generations *gs);
/* Where that was PROFILE_REFUSED: whose PIN was, by its number from 0. */
size_t generations_refused(const struct generations *gs);
/* Whether a file has changed since that read it.  For the same thread. */
bool generations_changed(const struct generations *gs);

/* The newest one, to be given back. */
struct generation *generations_get(struct generations *gs);
/* g is given back; the one before it, to be given back, or NULL. */
struct generation *generations_older(struct generations *gs,
                                     struct generation *g);
/* NULL is allowed. */
void generations_put(struct generations *gs, struct generation *g);

/* NULL: there is none of that name. */
struct profile *generation_find(const struct generation *g, const char *name);

/*
 * Seconds until the first of the certificates in use expires, negative
 * afterwards; INT64_MAX: there is none.
 */
int64_t generation_expires(const struct generation *g);
/*
 * Say each day of a certificate's last month that it comes to its end, and when
 * it has.  For the thread that loads.
 */
void generations_remind(struct generations *gs);

#endif
