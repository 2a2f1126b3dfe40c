/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A PKCS #11 module: loaded once in a process, whoever asks for it, because
 * C_Initialize, logins and handles are the process's (PKCS #11 v2.40, 5.4).
 *
 * Who called C_Initialize calls C_Finalize.  If the application did, the
 * module is shared and left as it is.  At process exit nothing is finalised
 * or unloaded: tokens that have destructors of their own crash otherwise; we
 * only stop lending sessions before those run.
 *
 * A module can die as a whole: the client of a p11-kit server that was
 * restarted answers CKR_DEVICE_ERROR to every call until C_Finalize and
 * C_Initialize, and if the server was away at that moment, has no slots at all
 * until the next time.  That is done once for all threads, while none is
 * inside.
 *
 * After a fork the child starts again: what the parent's sessions, logins and
 * handles were worth is undefined there, so that they are forgotten and
 * rebuilt at first use.
 */
#ifndef HSMSIGN_MODULE_H
#define HSMSIGN_MODULE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>
#include "cryptoki.h"
#include "rv.h"
#include "vendor.h"

struct p11_slot;

/* Quirks: what is special about a module. */
#define P11_QUIRK_NO_DEINIT (1U << 0) /* never C_Finalize, never dlclose */
#define P11_QUIRK_PIN_USER  (1U << 1) /* the PIN is "user:password" */
/* CKA_ALLOWED_MECHANISMS is not asked for */
#define P11_QUIRK_NO_ALLOWED_MECHANISMS (1U << 2)
/* C_GenerateKeyPair refuses a template by CKR_GENERAL_ERROR */
#define P11_QUIRK_REFUSES_GENERALLY (1U << 3)
/* no key has CKA_SIGN_RECOVER, CKA_VERIFY_RECOVER */
#define P11_QUIRK_NO_RECOVER (1U << 4)

struct p11_module_config {
    const char *path;           /* for dlopen */
    const char *init_args;      /* C_Initialize's pReserved; NULL: none */
    unsigned quirks;            /* P11_QUIRK_*, added to the table's */
    struct p11_vendor vendor;   /* the token's own numbers */
    unsigned long max_sessions; /* open at once for each token */
    unsigned long max_idle;     /* of these, kept when idle; one always is */
    unsigned long deadline; /* of p11_retry(), in milliseconds; 0: no waiting */
};

/* Fields are for module.c, restart.c, slot.c and session.c. */
struct p11_module {
    struct p11_module *next; /* in the registry */
    unsigned refs;           /* under open_lock */
    void *dl;
    CK_FUNCTION_LIST *fl;
    char *path;
    char *init_args;
    unsigned quirks;
    struct p11_vendor vendor;
    unsigned long max_sessions, max_idle, deadline;
    bool initialised; /* by us, so that we finalise it */
    /* At the next use: in a fork's child, or where a restart has failed. */
    atomic_bool needs_initialise;
    atomic_ulong generation;      /* times it was started anew */
    struct timespec restarted_at; /* the last time; under open_lock */
    pthread_mutex_t lock;         /* guards all below; never held over a call */
    struct p11_slot *slots;
    unsigned visitors; /* between p11_module_enter() and p11_module_leave() */
    bool restarting;
    pthread_cond_t calm; /* no visitors, or not restarting any more */
};

/*
 * Load and initialise the module, or take another reference to it if it is
 * loaded already; the first one's configuration counts.  *module is to be
 * closed.  Returns CKR_OK, CKR_HOST_MEMORY, P11_MODULE_LOAD, or what
 * C_Initialize answered.  Blocks; only one thread of the process is in here
 * at a time.
 */
CK_RV p11_module_open(const struct p11_module_config *config,
                      struct p11_module **module, struct p11_error *err);

/*
 * Give a reference back.  The last one closes all sessions, and if we
 * initialised the module, finalises and unloads it, except at process exit.
 * NULL is allowed.
 */
void p11_module_close(struct p11_module *module);

/*
 * For restart.c: the lock that is held over C_Initialize and C_Finalize, which
 * is refused to a thread that has it; and C_Initialize.
 */
bool p11_open_lock(void);
void p11_open_unlock(void);
CK_RV p11_module_initialise(struct p11_module *m, struct p11_error *err);

/* For p11_module_ready(). */
CK_RV p11_module_again(struct p11_module *module, struct p11_error *err);

/*
 * To be called before a session is opened: calls C_Initialize if that is to be
 * done again, in a fork's child or after a restart that failed.  One
 * comparison otherwise.
 */
static inline CK_RV p11_module_ready(struct p11_module *module,
                                     struct p11_error *err)
{
    return module->needs_initialise ? p11_module_again(module, err) : CKR_OK;
}

/*
 * Around calls that no session counts, C_GetSlotList and its like, so that a
 * restart waits for them; p11_module_enter() waits for a restart, and is
 * p11_module_ready().
 */
CK_RV p11_module_enter(struct p11_module *module, struct p11_error *err);
void p11_module_leave(struct p11_module *module);

/* How often the module was started anew: for p11_module_restart(). */
unsigned long p11_module_generation(struct p11_module *module);

/*
 * After work that began in the generation seen ended with an error of the
 * device, or found no token: if C_GetSlotList fails so too, or lists nothing,
 * start the module anew, by C_Finalize and C_Initialize, and forget all
 * sessions and logins; at most five times a second.  New calls wait meanwhile.
 * The caller has no session and is no visitor.  Returns false if nothing is
 * wrong with the module; true if it was or is to be started anew, and err is
 * filled if it could not be: others' calls did not end until that time
 * (CLOCK_MONOTONIC), the application called C_Initialize, the quirk no-deinit,
 * or C_Initialize has failed.  Blocks.
 */
bool p11_module_restart(struct p11_module *module, unsigned long seen,
                        const struct timespec *until, struct p11_error *err);

/* From now on the process is exiting: p11_module_close() leaves everything. */
void p11_module_set_exiting(void);
bool p11_module_exiting(void);

#endif
