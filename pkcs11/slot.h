/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A slot with the token in it: found by URI, read once, and the place of what
 * PKCS #11 keeps per token in a process: the login and the sessions.
 */
#ifndef HSMSIGN_SLOT_H
#define HSMSIGN_SLOT_H

#include <pthread.h>
#include <stdbool.h>
#include <time.h>
#include "cryptoki.h"
#include "module.h"
#include "pin.h"
#include "rv.h"
#include "uri.h"

/* A session; lent to one thread at a time. */
struct p11_session {
    struct p11_session *next; /* among the idle ones */
    CK_SESSION_HANDLE handle;
    unsigned long epoch; /* of the slot, when it was opened */
};

struct p11_waiter;

/* A PIN that the token refused, and how: it is not tried a second time. */
struct p11_refused {
    struct p11_refused *next;
    struct p11_pin *pin; /* owned; NULL: typed at the token */
    CK_RV rv;
};

enum p11_login_state { P11_LOGGED_OUT, P11_LOGIN_BUSY, P11_LOGGED_IN };

struct p11_slot {
    struct p11_slot *next; /* in the module's list, under its lock */
    struct p11_module *module;
    CK_SLOT_ID id;
    CK_TOKEN_INFO token; /* as read when the slot was found; never changes */
    char label[33];      /* the token's, printable, without padding */
    char where[48];      /* token "LABEL", for messages */
    atomic_bool present; /* at the last look */
    atomic_bool fresh;   /* that look was for the URI that is being loaded */

    pthread_mutex_t lock; /* guards all below; never held over a call */

    /*
     * Bumped when a login or a fork made the handles and sessions of before
     * worthless; a key's handle is good for the epoch in which it was found.
     */
    atomic_ulong epoch; /* may be read without the lock */
    enum p11_login_state login;
    pthread_cond_t login_done;
    /* That logged in, for recovery and children; for who is P11_LOGIN_BUSY. */
    struct p11_pin *pin;
    /* A file or command that it came from; the same. */
    struct p11_pin_source source;
    /* C_Login with a PIN that never did, which failed without a word on it. */
    unsigned unsure_logins;
    struct p11_refused *refused;

    struct p11_session *idle; /* last in, first out */
    unsigned long idle_count, open_count, lent_count;
    unsigned long limit;        /* learned from the token; 0: none known */
    struct timespec limit_at;   /* when */
    struct p11_waiter *waiters; /* first come, first served */
    bool replacing;             /* a thread is in p11_session_replace() */
    pthread_cond_t replaced;
    unsigned paused;      /* by forks and restarts, or for good */
    pthread_cond_t quiet; /* nothing is lent, or no longer paused */
};

/*
 * The one token that uri names, among those that are in the module's slots
 * and initialised.  Tokens are looked at once; again when none of those known
 * matches.  *slot belongs to the module.  Returns CKR_OK, P11_NO_TOKEN (the
 * text lists those present), P11_MANY_TOKENS (also for more than there can
 * be), CKR_HOST_MEMORY, or what a call answered.  Blocks: one C_GetTokenInfo
 * for each slot at the first look.
 */
CK_RV p11_slot_find(struct p11_module *module, const struct p11_uri *uri,
                    struct p11_slot **slot, struct p11_error *err);

/*
 * The same for any number of them: *count tokens, max at most, of which there
 * is one at least.  P11_MANY_TOKENS if there are more.
 */
CK_RV p11_slots_find(struct p11_module *module, const struct p11_uri *uri,
                     struct p11_slot **slots, size_t max, size_t *count,
                     struct p11_error *err);

/* How many sessions are open, and of these lent, with all its tokens. */
void p11_module_sessions(struct p11_module *module, unsigned long *open,
                         unsigned long *lent);

/*
 * After something failed with rv: whether the token is not where it was, so
 * that p11_slot_find() will look for it anew, in other slots too.
 */
bool p11_slot_is_gone(struct p11_slot *slot, CK_RV rv);

/* By label and serial number. */
bool p11_token_is_same(const CK_TOKEN_INFO *a, const CK_TOKEN_INFO *b);

/* The token's PIN is another now.  With the slot's lock held, or all alone. */
void p11_slot_forget_refused(struct p11_slot *slot);

/* For module.c: close what is open (if asked to) and free. */
void p11_slot_free(struct p11_slot *slot, bool close_sessions);

/* For module.c, when nothing is lent and its module starts anew: the same. */
void p11_slot_restarted(struct p11_slot *slot);

/* For module.c, in the child: forget sessions and login, begin a new epoch. */
void p11_slot_forget(struct p11_slot *slot);

#endif
